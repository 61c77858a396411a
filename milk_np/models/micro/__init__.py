"""MICRO: item graphs by modality, fused by attention and held together by a contrast (Zhang et al., TKDE 2023)."""
