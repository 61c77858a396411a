"""The paper's experiments, declared as data and run on any data set.

variants     what an experiment consists of: variants of the settings, protocols, claims
catalogue    the experiments: a new model or variant is one more line there
spaces       which configurations of a model's tuning space to try
runs         one run: a draw of new items, a mask, a model, both evaluations
store        finished runs by the hash of their data and settings: none is ever repeated
pool         parallel runs in processes
tuning       the search on validation items
reproduce    plan, tune, run
summary      rows of the tables: means, deviations, tests, effects
claims       what the experiments say about the paper's claims
published    the numbers that the paper prints
"""
