"""Finds the packages, which pyproject.toml can't: those of kernels/ are imported as milk_np.kernels."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["milk_np", "milk_np.*"]),
        *(f"milk_np.{name}" for name in find_packages(include=["kernels", "kernels.*"])),
    ]
)
