"""DropoutNet: towers that learn to do without the pretrained vectors (Volkovs et al., NeurIPS 2017)."""
