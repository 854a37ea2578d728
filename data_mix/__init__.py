"""Problems, the forms they are written out in, and mixtures of the two at exact shares.

`python -m data_mix build CONFIG.yaml --out DIR` writes a mixture folder (train.parquet, test.parquet, manifest.json);
`python -m data_mix show DIR` prints it. Nothing here imports torch, and nothing here imports the other packages.
"""
