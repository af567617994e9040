"""Training of the fraud encoder: a transaction generator, data sets, the network, calibration, export, evaluation."""
