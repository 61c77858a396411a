"""Heater: pretrained vectors that content stands in for, by a mixture of experts (Zhu et al., SIGIR 2020)."""
