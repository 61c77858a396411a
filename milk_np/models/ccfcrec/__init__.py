"""CCFCRec: contrastive collaborative filtering for new items (Zhou et al., WWW 2023)."""
