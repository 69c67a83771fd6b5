"""What bench/run prints: medians, ratios and goals, as text, Markdown, JSON and SVG."""

import math
import statistics
from xml.sax.saxutils import escape

SPREAD_WORTH_A_MARK = 1.5


class Goal:
    """What the file system is to reach in one work: `factor` times as fast as the same work on
    the target `against`, or as the work `against_work` on itself, or `rate` by itself."""

    def __init__(self, text, factor=1.0, against=None, against_work=None, rate=None):
        self.text = text
        self.factor = factor
        self.against = against
        self.against_work = against_work
        self.rate = rate


BELOW, PASS_THROUGH, TIFS = "below", "passthrough", "tifs"

_AS_PASS_THROUGH = [Goal("≥ pass-through", 1.0, PASS_THROUGH)]
GOALS = {
    "create_1p": [Goal("≥ 2× pass-through", 2.0, PASS_THROUGH), Goal("≥ 12 k/s", rate=12_000)],
    "create_4p": [Goal("≥ 1 process", 1.0, against_work="create_1p")],
    "stat_first": _AS_PASS_THROUGH,
    "stat_again": [Goal("≥ 0.9× below", 0.9, BELOW)],
    "readdir_stat": _AS_PASS_THROUGH,
    "rename": _AS_PASS_THROUGH,
    "unlink": _AS_PASS_THROUGH,
    "seq_write": [Goal("≥ 0.7× below", 0.7, BELOW)],
    "seq_read_cold": [Goal("≥ 0.7× below", 0.7, BELOW)],
    "seq_read_warm": [Goal("≥ 0.9× below", 0.9, BELOW)],
    "rand_read_1j": [Goal("≥ 0.6× below", 0.6, BELOW)],
    "rand_read_4j": [Goal("≥ 0.6× below", 0.6, BELOW)],
    "rand_write_fsync": [Goal("≥ below", 1.0, BELOW)],
    "sqlite": [Goal("≥ 1.5× below", 1.5, BELOW)],
    "git_clone": [Goal("≤ pass-through", 1.0, PASS_THROUGH)],
    "git_status": [Goal("≤ pass-through", 1.0, PASS_THROUGH)],
    "rm_rf": [Goal("≤ pass-through", 1.0, PASS_THROUGH)],
}


def speed_ratio(work, subject, other):
    """How many times as fast as `other`; above 1 is better, whatever the unit."""
    if subject is None or other is None:
        return None
    return subject / other if work["higher_is_better"] else other / subject


def judge(works):
    """Adds to each work its medians, ratios of the subject to the others, and goals."""
    medians = {}
    for work in works:
        for target in work["targets"].values():
            target["median"] = statistics.median(target["values"]) if target["values"] else None
        medians[work["name"]] = {name: t["median"] for name, t in work["targets"].items()}
    for work in works:
        mine = medians[work["name"]]
        subject = TIFS if TIFS in mine else PASS_THROUGH
        work["ratios"] = {name: speed_ratio(work, mine.get(subject), median)
                          for name, median in mine.items() if name != subject}
        goals = GOALS.get(work["name"], []) if subject == TIFS else []
        work["goals"] = [_judge_goal(goal, work, mine[TIFS], medians) for goal in goals]


def _judge_goal(goal, work, value, medians):
    if goal.rate is not None:
        ratio = value / goal.rate if value is not None else None
    elif goal.against_work is not None:
        ratio = speed_ratio(work, value, medians.get(goal.against_work, {}).get(TIFS))
    else:
        ratio = work["ratios"].get(goal.against)
    met = None if ratio is None else ratio >= goal.factor
    return {"text": goal.text, "against": goal.against, "factor": goal.factor,
            "ratio": ratio, "met": met}


# Figures as people read them ---------------------------------------------------------------


def figure(value, unit):
    if value is None:
        return "failed"
    if unit == "s":
        return f"{value:.2f} s" if value >= 0.1 else f"{value * 1000:.1f} ms"
    if unit == "MiB/s":
        return f"{value / 1024:.2f} GiB/s" if value >= 1000 else f"{value:.0f} MiB/s"
    if value >= 1e6:
        return f"{value / 1e6:.2f} M/s"
    if value >= 10_000:
        return f"{value / 1000:.0f} k/s"
    return f"{value / 1000:.1f} k/s" if value >= 1000 else f"{value:.0f} /s"


def times(ratio):
    if ratio is None:
        return "–"
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.2f}×"


def _varies(work):
    return any(len(t["values"]) > 1 and max(t["values"]) > SPREAD_WORTH_A_MARK * min(t["values"])
               for t in work["targets"].values())


def goal_text(goal, labels):
    return goal["text"].replace("below", labels[BELOW])


def _met(goals):
    words = {True: "met", False: "not met", None: "–"}
    return ", ".join(words[goal["met"]] for goal in goals)


def table(document):
    """Rows of strings, the head first."""
    labels = document["labels"]
    names = list(labels)
    subject = TIFS if TIFS in names else PASS_THROUGH
    others = [name for name in names if name != subject] if subject in names else []
    judged = any(work["goals"] for work in document["works"])
    head = ["work"] + [labels[name] for name in names]
    head += [f"{labels[subject]} / {labels[name]}" for name in others]
    rows = [head + (["reach", ""] if judged else [])]
    for work in document["works"]:
        row = [work["title"] + (" ~" if _varies(work) else "")]
        row += [figure(work["targets"][name]["median"], work["unit"]) for name in names]
        row += [times(work["ratios"].get(name)) for name in others]
        if judged:
            row += ["; ".join(goal_text(goal, labels) for goal in work["goals"]),
                    _met(work["goals"])]
        rows.append(row)
    return rows


def notes(document):
    lines = [f"Medians; interleaved rounds: {document['rounds']}. A ratio above 1 is faster, "
             "also where the figure is a time."]
    if any(_varies(work) for work in document["works"]):
        lines.append(f"~ the rounds of a target differ by more than {SPREAD_WORTH_A_MARK}×.")
    if document["quick"]:
        lines.append("--quick: small sizes, good for trying out and for nothing else.")
    if not document["caches_dropped"]:
        lines.append("Caches could not be dropped: the cold figures are warm.")
    goals = [goal for work in document["works"] for goal in work["goals"]]
    if goals:
        met = sum(1 for goal in goals if goal["met"])
        lines.append(f"Goals met: {met} of {len(goals)}.")
    return lines


def machine_lines(document):
    machine = document["machine"]
    lines = [f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB; "
             f"Linux {machine['kernel']}; {machine['file_system']} on {machine['device']}",
             f"{document['date']}, commit {document['commit']}"]
    if document.get("tifs_version"):
        lines[1] += f", {document['tifs_version']}"
    if machine["load"] > 0.3:
        lines.append(f"Load {machine['load']:.1f} before the start: something else was running.")
    return lines


def text(document):
    rows = table(document)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    figures = 1 + len(document["labels"]) * 2 - 1
    lines = machine_lines(document) + [""]
    for number, row in enumerate(rows):
        cells = [cell.rjust(width) if 0 < i < figures else cell.ljust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines + [""] + notes(document)) + "\n"


def markdown(document):
    rows = table(document)
    figures = 1 + len(document["labels"]) * 2 - 1
    lines = ["| " + " | ".join(rows[0]) + " |",
             "|" + "|".join("---:" if 0 < i < figures else "---"
                            for i in range(len(rows[0]))) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows[1:]]
    prose = "  \n".join(machine_lines(document))
    return prose + "\n\n" + "\n".join(lines) + "\n\n" + "\n".join(notes(document)) + "\n"


# The chart ---------------------------------------------------------------------------------

WIDTH = 1000
LABEL_WIDTH = 380
PLOT_WIDTH = 500
TOP = 96
ROW_HEIGHT = 40
BAR_HEIGHT = 13
COLOURS = {BELOW: "#2b6cb0", PASS_THROUGH: "#dd8a28"}
TICKS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500,
         1000]


class Axis:
    """A logarithmic axis of ratios, wide enough for all of them, with 1 always on it."""

    def __init__(self, ratios):
        low, high = min(ratios + [0.5]), max(ratios + [2.0])
        self.low = max([tick for tick in TICKS if tick <= low], default=TICKS[0])
        self.high = min([tick for tick in TICKS if tick >= high], default=TICKS[-1])

    def x(self, ratio):
        ratio = min(max(ratio, self.low), self.high)
        share = math.log(ratio / self.low) / math.log(self.high / self.low)
        return LABEL_WIDTH + share * PLOT_WIDTH

    def ticks(self):
        return [tick for tick in TICKS if self.low <= tick <= self.high]


def _text(x, y, content, size=13, anchor="start", colour="#222", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{colour}" font-weight="{weight}">{escape(content)}</text>')


def _rect(x, y, width, height, colour):
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{colour}"/>')


def _line(x1, y1, x2, y2, colour, width=1):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"/>')


def _row(work, top, others, axis):
    parts = [_text(LABEL_WIDTH - 12, top + ROW_HEIGHT / 2 + 4, work["title"], 12, "end")]
    bars_height = BAR_HEIGHT * len(others)
    y = top + (ROW_HEIGHT - bars_height) / 2
    for name in others:
        ratio = work["ratios"].get(name)
        if ratio is None:
            parts.append(_text(axis.x(1) + 5, y + 10, "failed", 10, colour="#b00020"))
        else:
            left, right = sorted((axis.x(1), axis.x(ratio)))
            parts.append(_rect(left, y, max(right - left, 1), BAR_HEIGHT - 1, COLOURS[name]))
            parts.append(_text(right + 5 if ratio >= 1 else left - 5, y + 10, times(ratio), 10,
                               "start" if ratio >= 1 else "end"))
        for goal in work["goals"]:
            if goal["against"] == name:
                x = axis.x(goal["factor"])
                parts.append(_line(x, y - 2, x, y + BAR_HEIGHT + 1, "#111", 2.5))
        y += BAR_HEIGHT
    return parts


def _legend(others, labels, subject, has_goals):
    parts, x = [], LABEL_WIDTH
    for name in others:
        label = f"against {labels[name]}"
        parts += [_rect(x, 54, 14, 12, COLOURS[name]), _text(x + 20, 64, label, 12)]
        x += 36 + 7 * len(label)
    if has_goals:
        parts += [_line(x + 7, 52, x + 7, 68, "#111", 2.5), _text(x + 16, 64, "goal", 12)]
    return parts


def svg(document):
    """The subject's speed relative to each other target, as bars from 1× to the left or right."""
    labels = document["labels"]
    subject = TIFS if TIFS in labels else PASS_THROUGH
    others = [name for name in labels if name != subject]
    works = document["works"]
    axis = Axis([ratio for work in works for ratio in work["ratios"].values() if ratio] +
                [goal["factor"] for work in works for goal in work["goals"] if goal["against"]])
    bottom = TOP + ROW_HEIGHT * len(works)
    footer = machine_lines(document)
    height = bottom + 62 + 16 * len(footer)
    title = f"Speed of {labels[subject]} relative to " + " and ".join(labels[n] for n in others)
    title += " (quick sizes)" if document["quick"] else ""
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
             f'width="{WIDTH}" height="{height}" role="img" '
             'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">',
             f"<title>{escape(title)}</title>", _rect(0, 0, WIDTH, height, "#ffffff"),
             _text(WIDTH / 2, 32, title, 18, "middle", weight="bold")]
    parts += _legend(others, labels, subject, any(work["goals"] for work in works))
    for tick in axis.ticks():
        x = axis.x(tick)
        parts.append(_line(x, TOP - 4, x, bottom + 4, "#d8d8d8" if tick != 1 else "#444"))
        parts.append(_text(x, TOP - 10, f"{tick:g}×", 11, "middle", "#555"))
        parts.append(_text(x, bottom + 18, f"{tick:g}×", 11, "middle", "#555"))
    for number, work in enumerate(works):
        top = TOP + number * ROW_HEIGHT
        if number:
            parts.append(_line(20, top, WIDTH - 20, top, "#efefef"))
        parts += _row(work, top, others, axis)
    parts.append(_text(LABEL_WIDTH + PLOT_WIDTH / 2, bottom + 38,
                       "times as fast, logarithmic: right of 1× is faster, left is slower", 12,
                       "middle", "#555"))
    for number, line in enumerate(footer):
        parts.append(_text(20, bottom + 62 + 16 * number, line, 11, colour="#555"))
    return "\n".join(parts + ["</svg>"]) + "\n"
