"""CLCRec: content learns to stand in for an item's vector by contrastive learning (Wei et al., MM 2021)."""
