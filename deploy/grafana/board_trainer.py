"""The loop that learns: does it keep up, does it publish, and does what it publishes hold."""

from panels import Panel, Row, good_above, good_below, quantile, rate, stat

TITLE = "Winnow: trainer"

_HEALTH = Row(
    "Is it healthy?",
    (
        stat("Up", "short", "1.", 'sum(up{job="trainer"})', good_above(1, 1), 0),
        stat(
            "Oldest untrained event",
            "s",
            "Some seconds: what waits for the next checkpoint counts.",
            "winnow:oldest_untrained_seconds:max",
            good_below(60, 300),
        ),
        stat(
            "Last checkpoint",
            "s",
            "Ten seconds while events come, see WINNOW_CHECKPOINT_EVERY_S.",
            "time() - max(winnow_trainer_checkpoint_timestamp_seconds)",
            good_below(60, 180),
        ),
        stat(
            "Versions promoted, 10 min",
            "short",
            "Hundreds while events come.",
            'sum(increase(winnow_trainer_versions_total{verdict="PROMOTE"}[10m]))',
            good_above(1, 1),
            0,
        ),
        stat(
            "Champion",
            "short",
            "0: the live watch finds nothing wrong.",
            "max(winnow_trainer_champion_unfit)",
            good_below(1, 1),
            0,
        ),
        stat(
            "Log full in an hour",
            "percentunit",
            "Below 100 %.",
            "predict_linear(winnow:log_fill:ratio[30m], 3600)",
            good_below(0.8, 1),
            0,
        ),
    ),
)

_FLOW = Row(
    "Events",
    (
        Panel(
            "Accepted and read",
            "cps",
            "The same line. Reading above accepting: it catches up.",
            (("winnow:events_accepted:rate5m", "accepted"), ("winnow:events_read:rate5m", "read")),
        ),
        Panel(
            "What became of them",
            "cps",
            "Mostly trained, of those two in a hundred held out; duplicates are repeated requests.",
            ((rate("winnow_trainer_events_total", "outcome"), "{{outcome}}"),),
        ),
        Panel(
            "Lag",
            "short",
            "A sawtooth: the position is shown with each checkpoint.",
            (
                ("max by (partition) (winnow_log_lag_entries)", "{{partition}}"),
                ("winnow:log_lag_entries:sum", "all"),
                ("winnow_trainer_waiting_entries", "read, window not over"),
            ),
        ),
        Panel(
            "How far it has learned",
            "s",
            "A second or two behind now while events come.",
            (
                ("time() - winnow_trainer_acknowledged_timestamp_seconds", "learned up to"),
                ("winnow:oldest_untrained_seconds:max", "oldest that waits"),
            ),
            steps=good_below(60, 300),
        ),
        Panel(
            "Put aside",
            "short",
            "Zero.",
            (
                ("sum by (reason) (increase(winnow_trainer_dead_letters_total[10m]))", "{{reason}}, 10 min"),
                (
                    "sum by (when) (increase(winnow_trainer_untimely_events_total[10m]))",
                    "{{when}} by their own clock, 10 min",
                ),
            ),
        ),
        Panel(
            "What the log lost",
            "short",
            "Zero.",
            (
                ("sum(increase(winnow_trainer_stream_regressions_total[10m]))", "went back, 10 min"),
                ("sum(increase(winnow_trainer_stream_gaps_total[10m]))", "gaps, 10 min"),
                ("max(winnow_trainer_unreadable_partitions)", "unreadable partitions"),
            ),
        ),
    ),
)

_STEPS = Row(
    "Its time",
    (
        Panel(
            "A step",
            "s",
            "Milliseconds.",
            tuple((quantile(q, "winnow_trainer_step_seconds"), f"p{q * 100:.0f}") for q in (0.5, 0.99)),
        ),
        Panel(
            "A checkpoint",
            "s",
            "Below a second on a disk that keeps up.",
            tuple((quantile(q, "winnow_trainer_checkpoint_seconds"), f"p{q * 100:.0f}") for q in (0.5, 0.99)),
        ),
        Panel(
            "A publication",
            "s",
            "A delta below 0.2 s; a whole version grows with the tables.",
            tuple((quantile(q, "winnow_trainer_publish_seconds"), f"p{q * 100:.0f}") for q in (0.5, 0.99)),
        ),
    ),
)

_VERSIONS = Row(
    "Versions",
    (
        Panel(
            "By verdict",
            "cps",
            "PROMOTE about once a second while events come.",
            ((rate("winnow_trainer_versions_total", "verdict"), "{{verdict}}"),),
        ),
        Panel(
            "Which gate failed",
            "short",
            "Zero; `min_events` and `min_holdout_positives` in a new home.",
            (("sum by (gate) (increase(winnow_trainer_gate_failures_total[10m]))", "{{gate}}, 10 min"),),
        ),
        Panel(
            "Holdout AUC, candidate against champion",
            "none",
            "Within 0.02 of each other.",
            (("winnow_trainer_holdout_auc_ratio", "{{model}}"),),
        ),
        Panel(
            "Live AUC",
            "none",
            "Champion within 0.02 of the reference and 0.05 of the learner.",
            (("winnow_trainer_live_auc_ratio", "{{model}}"),),
        ),
        Panel(
            "Live mean score to rate",
            "none",
            "Between 1/3 and 3; around 1 where silence is taken as a no.",
            (("winnow_trainer_live_score_ratio", "ratio"),),
        ),
        Panel(
            "What the live watch did",
            "short",
            "Zero.",
            (
                ("sum(increase(winnow_trainer_automatic_rollbacks_total[1h]))", "rollbacks, 1 h"),
                ("max(winnow_trainer_champion_unfit)", "champion unfit"),
            ),
        ),
    ),
)

_STATE = Row(
    "Its state",
    (
        Panel(
            "Rows of ids taken",
            "percentunit",
            "Below 85 %.",
            (("winnow_trainer_id_rows / winnow_trainer_id_rows_bound", "{{space}}"),),
            steps=good_below(0.7, 0.85),
            bounds=(0, 1),
            width=6,
        ),
        Panel(
            "Disk",
            "percentunit",
            "Above 15 % free; the trainer does not wait for space (0).",
            (("winnow_trainer_disk_free_ratio", "free"), ("winnow_trainer_disk_full", "waits for space")),
            steps=good_above(0.15, 0.3),
            bounds=(0, 1),
            width=6,
        ),
        Panel(
            "CPU",
            "percentunit",
            "Below one core, but when it catches up.",
            ((rate('process_cpu_seconds_total{job="trainer"}', "instance"), "{{instance}}"),),
            width=6,
        ),
        Panel(
            "Memory",
            "bytes",
            "Flat once the tables are full.",
            (('process_resident_memory_bytes{job="trainer"}', "{{instance}}"),),
            width=6,
        ),
    ),
)

ROWS = (_HEALTH, _FLOW, _STEPS, _VERSIONS, _STATE)
