"""What axe-core finds in a page that a browser shows."""

from pathlib import Path
from typing import Any

from browsers import Browser

_AXE = Path(__file__).resolve().parent / "peers" / "node_modules" / "axe-core" / "axe.min.js"


def serious_faults(browser: Browser) -> Any:
    """The serious and critical faults of the page: the rule, and the elements that break it."""
    browser.evaluate(f"(() => {{ {_AXE.read_text()}\n; return 1; }})()")
    return browser.evaluate(
        "axe.run({resultTypes: ['violations'], preload: false}).then(result =>"
        " result.violations.filter("
        "fault => ['serious', 'critical'].includes(fault.impact)).map(fault =>"
        " [fault.id, fault.nodes.map(node => node.html + ' ' + node.failureSummary)]))"
    )
