"""What is made of a watch: labels, targets and their prior, what evidence says, and how well the model ranks."""

from panels import Panel, Row, good_above, good_below, rate, share, stat

TITLE = "Winnow: denoising"
_CAPPED = 'winnow_trainer_events_total{outcome="capped"}'
_TRAINED = 'winnow_trainer_events_total{outcome="trained"}'

_HEALTH = Row(
    "Is it healthy?",
    (
        stat(
            "Progressive AUC, latest",
            "none",
            "Above chance, and near its mean of the day.",
            "max(winnow_trainer_window_auc_ratio)",
            good_above(0.5, 0.6),
            3,
        ),
        stat(
            "AUC against the day's mean",
            "none",
            "Above -0.02.",
            "max(winnow:window_auc:difference_1d)",
            good_above(-0.02, -0.01),
            3,
        ),
        stat(
            "Calibration error",
            "percentunit",
            "Below 5 %: the gate holds a version above.",
            "max(winnow_trainer_window_ece_ratio)",
            good_below(0.03, 0.05),
            2,
        ),
        stat(
            "Targets, factor from the prior",
            "none",
            "Below 10; above, they have collapsed.",
            "max(winnow_trainer_target_one_sidedness_ratio)",
            good_below(5, 10),
            1,
        ),
        stat(
            "Drift of scores",
            "none",
            "Below 0.1; from 0.25 on it is a shift.",
            "max(winnow_trainer_score_psi_ratio)",
            good_below(0.1, 0.25),
            2,
        ),
        stat(
            "Pseudo-labels that are 1",
            "percentunit",
            "Near the prior; the gate holds a version above 50 %.",
            "max(winnow_trainer_pseudo_label_share_ratio)",
            good_below(0.3, 0.5),
            1,
        ),
    ),
)

_QUALITY = Row(
    "How well it ranks",
    (
        Panel(
            "AUC of explicit positives, before they were learned",
            "none",
            "Rises in a new home, then steady.",
            (("winnow_trainer_auc_ratio", "all events"), ("winnow_trainer_window_auc_ratio", "latest")),
        ),
        Panel(
            "GAUC, within the slates of a user",
            "none",
            "Rises in a new home, then steady.",
            (("winnow_trainer_gauc_ratio", "all events"), ("winnow_trainer_window_gauc_ratio", "latest")),
        ),
        Panel(
            "Calibration error of the latest",
            "percentunit",
            "Below 5 %.",
            (("winnow_trainer_window_ece_ratio", "ECE"),),
            steps=good_below(0.03, 0.05),
            bounds=(0, None),
        ),
        Panel(
            "Positives in the window",
            "short",
            "Hundreds: with fewer the figures beside mean little.",
            (("winnow_trainer_window_positives", "positives"),),
        ),
        Panel(
            "Drift of scores",
            "none",
            "Below 0.1.",
            (("winnow_trainer_score_psi_ratio", "population stability index"),),
            steps=good_below(0.1, 0.25),
            bounds=(0, None),
        ),
        Panel(
            "Pseudo-labels that are 1",
            "percentunit",
            "Steady, near the prior.",
            (("winnow_trainer_pseudo_label_share_ratio", "share"),),
            steps=good_below(0.3, 0.5),
            bounds=(0, None),
        ),
    ),
)

_LABELS = Row(
    "What was said, and what is made of the rest",
    (
        Panel(
            "Labels by source",
            "percentunit",
            "Of what was said, and of the pseudo-labels of the rest. A jump: a button moved, or a flood.",
            ((share('winnow_trainer_labels_total{label!="unlabelled"}', "label, source"), "{{label}}, {{source}}"),),
            stacked=True,
            bounds=(0, None),
        ),
        Panel(
            "Explicit actions",
            "cps",
            "In steady proportion; how far silence is a no follows the share of dislikes.",
            ((rate("winnow_trainer_actions_total", "action"), "{{action}}"),),
        ),
        Panel(
            "Evidence of watches",
            "percentunit",
            "In steady proportion.",
            ((share("winnow_trainer_evidence_total", "flag"), "{{flag}}"),),
            stacked=True,
            bounds=(0, 1),
        ),
    ),
)

_TARGETS = Row(
    "Targets of the unlabelled",
    (
        Panel(
            "Mean target and prior",
            "percentunit",
            "Targets in use stay near the prior. Those of paper IDL may not: harmless unless `idl` trains.",
            (
                ("winnow_trainer_target_mean_ratio", "targets in use"),
                ("winnow_trainer_idl_target_mean_ratio", "paper IDL"),
                ("winnow_trainer_prior_ratio", "prior"),
            ),
            bounds=(0, None),
        ),
        Panel(
            "Factor from the prior",
            "none",
            "Targets in use below 10.",
            (
                ("winnow_trainer_target_one_sidedness_ratio", "targets in use"),
                ("winnow_trainer_idl_one_sidedness_ratio", "paper IDL"),
            ),
            steps=good_below(5, 10),
        ),
        Panel(
            "Histogram of paper IDL's targets",
            "short",
            "Spread out. All in the lowest row or the highest one: it has collapsed.",
            (("sum by (le) (increase(winnow_trainer_idl_target_ratio_bucket[$__rate_interval]))", "{{le}}"),),
            kind="heatmap",
        ),
        Panel(
            "Inverse Gradient's decisions",
            "percentunit",
            "Mostly `inverse`: targets and explicit feedback disagree. With `--meta none` they are counted only.",
            ((share("winnow_trainer_directions_total", "direction"), "{{direction}}"),),
            stacked=True,
            bounds=(0, 1),
            width=12,
        ),
        Panel(
            "Events over a cap",
            "percentunit",
            "Below 20 %: more is a flood, or caps too tight.",
            ((f"{rate(_CAPPED)} / {rate(_TRAINED)}", "of the trained"),),
            steps=good_below(0.1, 0.2),
            bounds=(0, None),
            width=12,
        ),
    ),
)

ROWS = (_HEALTH, _QUALITY, _LABELS, _TARGETS)
