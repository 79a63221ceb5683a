"""Optimizers, schedules and the Trainer, for any model that follows the protocol."""

from fastrnn.training.clipping import clip_grad_norm, grad_norm
from fastrnn.training.edit_distance import edit_distance
from fastrnn.training.history import History
from fastrnn.training.metrics import exact_match, mean_loss, perplexity
from fastrnn.training.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Optimizer, RMSprop
from fastrnn.training.protocol import BatchSource, Model
from fastrnn.training.sampling import (
    ConstantSampling,
    InverseSigmoidSampling,
    LinearSampling,
    SamplingSchedule,
)
from fastrnn.training.schedules import (
    ConstantLR,
    CosineLR,
    ExponentialLR,
    ReduceLROnPlateau,
    Schedule,
    StepLR,
)
from fastrnn.training.trainer import Trainer

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "BatchSource",
    "ConstantLR",
    "ConstantSampling",
    "CosineLR",
    "ExponentialLR",
    "History",
    "InverseSigmoidSampling",
    "LinearSampling",
    "Model",
    "Momentum",
    "Optimizer",
    "RMSprop",
    "ReduceLROnPlateau",
    "SamplingSchedule",
    "Schedule",
    "StepLR",
    "Trainer",
    "clip_grad_norm",
    "edit_distance",
    "exact_match",
    "grad_norm",
    "mean_loss",
    "perplexity",
]
