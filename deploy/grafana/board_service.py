"""What callers get: answers, their time and age, and whether feedback is kept."""

from panels import Panel, Row, good_above, good_below, quantile, rate, stat

TITLE = "Winnow: service"
_SCORES = '{route=~"/v1/score.*|/v2/.*/infer"}'

_HEALTH = Row(
    "Is it healthy?",
    (
        stat(
            "Alerts",
            "short",
            "None fires. What each means: docs/operations.md, Alerts.",
            'count(ALERTS{alertname=~"Winnow.*",alertstate="firing"}) or vector(0)',
            good_below(1, 1),
            0,
        ),
        stat(
            "Scores answered, 1 h",
            "percentunit",
            "99.9 % or more.",
            "1 - winnow:score_errors:ratio_rate1h",
            good_above(0.99, 0.999),
            3,
        ),
        stat("Score p99", "s", "Below 50 ms.", "winnow:score_seconds:p99_5m", good_below(0.02, 0.05)),
        stat(
            "Feedback stored",
            "percentunit",
            "All of it: what is not stored got 503 and has to be sent again.",
            "winnow:feedback_stored:ratio_rate5m",
            good_above(0.99, 0.9999),
            2,
        ),
        stat(
            "Acknowledged to served, p95",
            "s",
            "Seconds; a minute at most.",
            "winnow:freshness_seconds:p95_5m",
            good_below(30, 60),
        ),
        stat("Replicas up", "short", "As many as there are.", 'sum(up{job="service"})', good_above(1, 2), 0),
    ),
)

_ANSWERS = Row(
    "Answers",
    (
        Panel(
            "Requests",
            "reqps",
            "Follows the traffic; 5xx near zero.",
            ((rate("winnow_requests_total", "route, status"), "{{route}} {{status}}"),),
            width=12,
        ),
        Panel(
            "Time to answer",
            "s",
            "Scores below 50 ms. Feedback waits for the disk of the log.",
            (
                (quantile(0.99, "winnow_request_seconds", "route"), "{{route}} p99"),
                (quantile(0.5, "winnow_request_seconds", where=_SCORES), "scores, p50"),
            ),
            steps=good_below(0.02, 0.05),
            width=12,
        ),
        Panel(
            "Score errors against the objective",
            "percentunit",
            "Below 0.1 % in the long windows. 1.44 % in 5 m and 1 h pages.",
            tuple((f"winnow:score_errors:ratio_rate{window}", window) for window in ("5m", "30m", "1h", "6h", "3d")),
            steps=good_below(0.001, 0.0144),
            bounds=(0, None),
        ),
        Panel(
            "Refused",
            "reqps",
            "Zero. Shed: too much waits. key, role, rate: what a caller sent.",
            (
                (rate("winnow_requests_shed_total"), "shed"),
                (rate("winnow_requests_turned_away_total", "reason"), "{{reason}}"),
            ),
        ),
        Panel(
            "Work",
            "short",
            "Follows the traffic.",
            (
                ("winnow:score_requests:rate5m", "score requests/s"),
                (rate("winnow_score_candidates_total"), "candidates/s"),
                (rate("winnow_labels_events_total"), "views labelled/s"),
            ),
        ),
    ),
)

_VERSIONS = Row(
    "What answers",
    (
        Panel(
            "Version", "none", "Rises together on all replicas.", (("winnow_model_version", "{{instance}}"),), width=6
        ),
        Panel(
            "Age of the version",
            "s",
            "Seconds while events come; as long as none come it grows, and that is right.",
            (("winnow_model_age_seconds", "{{instance}}"),),
            steps=good_below(300, 1200),
            width=6,
        ),
        Panel(
            "Acknowledged to served",
            "s",
            "A few seconds: a version a second, and the look for it.",
            (
                ("winnow:freshness_seconds:p50_5m", "p50"),
                ("winnow:freshness_seconds:p95_5m", "p95"),
                (quantile(0.99, "winnow_acknowledged_to_served_seconds"), "p99"),
            ),
            steps=good_below(30, 60),
            width=6,
        ),
        Panel(
            "Time to take a version over",
            "s",
            "Below a second; it does not hold up requests.",
            ((quantile(0.99, "winnow_model_swap_seconds", "instance"), "{{instance}} p99"),),
            width=6,
        ),
        Panel(
            "Answered by the prior, versions refused",
            "short",
            "Zero once a first version is served.",
            (
                (rate("winnow_score_fallback_total"), "by the prior/s"),
                ("sum by (instance) (winnow_model_fallback)", "{{instance}} has no version"),
                ("sum(increase(winnow_model_refused_total[10m]))", "refused in 10 min"),
            ),
        ),
        Panel(
            "Unknown ids",
            "percentunit",
            "Steady. A rise: new audience or catalogue, or ids of another kind.",
            (
                (
                    f"{rate('winnow_score_unknown_users_total')} / {rate('winnow_requests_total' + _SCORES)}",
                    "users, of requests",
                ),
                (
                    f"{rate('winnow_score_unknown_items_total')} / {rate('winnow_score_candidates_total')}",
                    "items, of candidates",
                ),
            ),
            bounds=(0, 1),
        ),
        Panel(
            "Releases",
            "none",
            "One release, but for the minutes of an upgrade.",
            (("count by (job, release) (winnow_build_info)", "{{job}} {{release}}"),),
        ),
    ),
)

_FEEDBACK = Row(
    "Feedback on its way",
    (
        Panel(
            "Events",
            "cps",
            "Acknowledged and read are the same line; unstored is zero.",
            (
                (rate("winnow_feedback_acknowledged_events_total"), "acknowledged"),
                (rate('winnow_trainer_events_total{outcome=~"trained|duplicates|dead"}'), "read by the trainer"),
                (rate("winnow_feedback_unstored_events_total"), "unstored"),
            ),
        ),
        Panel(
            "Unaccounted for, 1 h",
            "short",
            "Around zero: acknowledged less read. A backlog lifts it until it is learned.",
            (("winnow:events_unaccounted:increase1h", "events"),),
        ),
        Panel(
            "What impressions prove",
            "cps",
            "Mostly proven where impressions are signed.",
            ((rate("winnow_feedback_impressions_total", "proof"), "{{proof}}"),),
            stacked=True,
        ),
        Panel(
            "The log is reachable, and writes",
            "none",
            "All 1.",
            (("winnow_log_up", "{{instance}} reaches it"), ("min(winnow_log_write_ok)", "it writes its file")),
            bounds=(0, 1),
            width=6,
        ),
        Panel(
            "Fill of the log",
            "percentunit",
            "A sawtooth well below 80 %: checkpoints trim it.",
            (
                ("winnow:log_fill:ratio", "entries, fullest partition"),
                ("max(winnow_log_memory_used_ratio)", "memory"),
            ),
            steps=good_below(0.5, 0.8),
            bounds=(0, 1),
            width=6,
        ),
        Panel(
            "Entries a partition",
            "short",
            "The same in all partitions, as users are spread by hash.",
            (("max by (partition) (winnow_log_entries)", "{{partition}}"), ("max(winnow_log_max_entries)", "bound")),
            width=6,
        ),
        Panel(
            "Dead letters kept",
            "short",
            "Zero, or a line that does not rise.",
            (("max(winnow_dead_letters_kept)", "letters"),),
            width=6,
        ),
    ),
)

_PROCESS = Row(
    "Processes",
    (
        Panel(
            "CPU",
            "percentunit",
            "Below one core a process.",
            ((rate('process_cpu_seconds_total{job="service"}', "instance"), "{{instance}}"),),
            width=6,
        ),
        Panel(
            "Memory",
            "bytes",
            "Flat; tables are page cache that replicas share.",
            (('process_resident_memory_bytes{job="service"}', "{{instance}}"),),
            width=6,
        ),
        Panel(
            "Open files",
            "short",
            "Follows the connections; no slow rise.",
            (('process_open_fds{job="service"}', "{{instance}}"),),
            width=6,
        ),
        Panel(
            "Disk, keys, console",
            "short",
            "Disk above 15 %, keys readable (1).",
            (
                ("min(winnow_disk_free_ratio)", "free share of the disk"),
                ("min(winnow_api_keys_up)", "keys readable"),
                ("sum(winnow_console_streams)", "open consoles"),
            ),
            width=6,
        ),
        Panel(
            "Series shown",
            "short",
            "Below 500 a process.",
            (('scrape_samples_scraped{job=~"service|trainer"}', "{{job}} {{instance}}"),),
            steps=good_below(500, 1000),
            width=6,
        ),
    ),
)

ROWS = (_HEALTH, _ANSWERS, _VERSIONS, _FEEDBACK, _PROCESS)
