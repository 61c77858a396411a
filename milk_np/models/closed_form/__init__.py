"""Quick rivals: content in closed form or by alternating least squares, without a single gradient step.

==============  ==========================================================================================
knn             score by the most similar training items that a user has
ridge_direct    ridge regression from content straight to the users' choices
svd_ridge       PureSVD vectors of the training items, ridge regression from content to them
ials_ridge      the same with vectors by implicit alternating least squares
feature_ials    alternating least squares whose item vectors are drawn towards a linear map of content
marec           item-item regression aligned with similarities of content (MARec)
base            what they share: fitting, files, users by their histories
rows            content of an item as one row
regression      ridge regression with copies of the training items that lack a modality
als             sweeps of alternating least squares
==============  ==========================================================================================

Symbols, beside those of the package: n training items, D = sum D_m the width of a content row x, R (U, n) the training
pairs as zeros and ones.
"""
