"""The paper's experiments, declared as data and run on any data set.

variants     what an experiment is made of: variants of the settings, protocols, claims
catalogue    the experiments: a new model or variant is one more line there
spaces       what is tuned for each model, and the designs of the search
runs         one run: a draw of new items, a mask, a model, both evaluations
store        finished runs by the hash of their data and settings: none is ever done twice
pool         runs side by side in processes
tuning       the search on valid items
reproduce    plan, tune, run, summarise
summary      rows of the tables: means, deviations, tests, effects
claims       what the experiments say about the paper's claims
published    the numbers that the paper prints
"""
