"""DUIF: free user vectors and a linear map of an item's content (Geng et al., ICCV 2015)."""
