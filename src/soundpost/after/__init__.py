"""Steps on the finished table of probabilities, by name: what [[after]] of a submission.toml asks for, in its order.

Each step is a function (table, settings...) -> (rows, columns), imported when asked for (see registry.pick). A new step
is one function in one of these files, or in a file of its own, and one line here.
"""

AFTER: dict[str, str] = {
    "adaptive_delta": "soundpost.after.neighbours:adaptive_delta",
    "clip": "soundpost.after.columns:clip",
    "delta": "soundpost.after.neighbours:delta",
    "diel_prior": "soundpost.after.priors:diel_prior",
    "file_scale_clipped": "soundpost.after.recordings:file_scale_clipped",
    "gaussian": "soundpost.after.neighbours:gaussian",
    "gaussian_renormalised": "soundpost.after.neighbours:gaussian_renormalised",
    "kernel": "soundpost.after.neighbours:kernel",
    "kernel_and_mean": "soundpost.after.neighbours:kernel_and_mean",
    "log_sum_exp_segments": "soundpost.after.segments:log_sum_exp_segments",
    "maximum_blend": "soundpost.after.recordings:maximum_blend",
    "maximum_power": "soundpost.after.recordings:maximum_power",
    "neighbour_sum": "soundpost.after.neighbours:neighbour_sum",
    "power_below_rank": "soundpost.after.columns:power_below_rank",
    "power_kernel_leak": "soundpost.after.neighbours:power_kernel_leak",
    "presence_gate": "soundpost.after.recordings:presence_gate",
    "rank_blend": "soundpost.after.ranks:rank_blend",
    "rank_gate": "soundpost.after.ranks:rank_gate",
    "site_hour_prior": "soundpost.after.priors:site_hour_prior",
    "taxon_rank": "soundpost.after.taxon_rank:taxon_rank",
    "temperature": "soundpost.after.columns:temperature",
    "threshold_stretch": "soundpost.after.columns:threshold_stretch",
    "top_k_scale": "soundpost.after.recordings:top_k_scale",
}
