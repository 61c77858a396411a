"""Regression of what users choose on content, in closed form: the parts of `.model`.

=============  =========================================================================================
settings       what decides the result
fit            the phases of a fit, one after another
smoothing      from the items that a user chose to all that those who chose alike did (collaborative)
content        rows of the modalities that an item owns, and their similarity to landmark items (kernel)
whitening      principal axes of the content, along which items differ much, shrunk
ridge          kernel ridge regression on landmarks, one for each set of owned modalities: which sets
blocks         its sums over items, by blocks, on a backend
spans          which items or users are added up together, and where: in this process or on workers
by_blocks      the regressions and history vectors from these sums
pairs          sparse products with the training pairs, on a backend
directions     largest singular directions of the pairs, at any size
smoother       smoothing on a backend, made of these
samples        what choices need of the pairs
memory         memory of a fit, by purpose
need           memory of one of its parts
limits         how much is computed at once
choice         weights of the modalities by the leave-one-out error
held_out       how a kernel would rank training items that are held out
by_ranking     noise and whitening by that
ranked         scores for held-out items
lengths        items that stand out more alike
exposure       what lifts items that lack modalities, lest the others take their places
adjusting      both
=============  =========================================================================================

Symbols: n training items, L landmarks, R (U, n) the training pairs as zeros and ones.
"""
