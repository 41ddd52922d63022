"""Normalising flows: planar flows (bijector, amortised posterior, density fitting), couplings."""

from filvm.flows.couplings import AffineCouplings
from filvm.flows.density import FlowFits, fit_forward_kl, fit_reverse_kl, kl_to_target
from filvm.flows.energies import ENERGIES, log_normaliser
from filvm.flows.planar import PlanarFlow, planar_forward, planar_inverse
from filvm.flows.posterior import PlanarFlows

__all__ = [
    "ENERGIES",
    "AffineCouplings",
    "FlowFits",
    "PlanarFlow",
    "PlanarFlows",
    "fit_forward_kl",
    "fit_reverse_kl",
    "kl_to_target",
    "log_normaliser",
    "planar_forward",
    "planar_inverse",
]
