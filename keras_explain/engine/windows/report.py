"""What an occlusion plan does, in words."""


def report(value, plan):
    """A table of the steps of a plan, or why there is no plan.

    Args:
        value: the occluded input.
        plan: a Plan, or the reason why every position runs the whole model.
    """
    name = f"input {value.spec.name!r} {tuple(value.spec.shape[1:])}"
    if isinstance(plan, str):
        return f"{name}: the whole model at each position, because {plan}."
    full, done = plan.macs()
    lines = [
        f"{name}: {plan.counts} positions by windows; {full / 1e6:.4g} million multiply-adds a"
        f" position become {done / 1e6:.4g} million ({full / done if done else 1:.2f}x fewer).",
        f"{'step':<40} {'map':>16} {'window':>12} {'share':>6}  remark",
    ]
    for row in plan.rows:
        output = row.step.outputs[0]
        window = plan.windows.get(output)
        sizes = "x".join(str(s.size) for s in window) if window else ""
        map_size = "x".join(str(n) for n in output.spec.shape[1:])
        path = row.step.path or type(row.step.fn).__name__
        lines.append(f"{path[-40:]:<40} {map_size:>16} {sizes or 'all':>12} {row.share:>6.0%}"
                     f"  {row.reason}".rstrip())
    return "\n".join(lines)
