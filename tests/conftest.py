"""What all tests share: a quiet TensorFlow, warnings that count, figures without a display."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
