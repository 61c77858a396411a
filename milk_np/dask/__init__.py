"""Dask: a kernel profile fitted by a cluster's workers, and lists of all users as tasks; extra `dask`.

=========  =============================================================================================
model      `DaskKernelProfile`, in the shape of XGBoost's and LightGBM's Dask models
engine     parts of sums and of lists as tasks, their results in order; what is told when workers are lost
shared     data that lie on a disk which all workers see, and go to them as a file's name
lists      lists of all users: a block of users a task, each a Parquet file that is whole or absent
=========  =============================================================================================
"""

from milk_np.dask.model import DaskKernelProfile

__all__ = ["DaskKernelProfile"]
