"""What WCAG 2 asks of a page that a browser can tell: axe-core, contrast, order of headings, a visible focus."""

import re
from itertools import pairwise

from axe_playwright_python.sync_playwright import Axe

TEXTS = """() => [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() &&
    [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => {
  const style = getComputedStyle(e), behind = [];
  for (let at = e; at; at = at.parentElement) behind.push(getComputedStyle(at).backgroundColor);
  return {text: e.textContent.trim().slice(0, 40), colour: style.color, behind,
          large: parseFloat(style.fontSize) >= (style.fontWeight >= 700 ? 18.66 : 24)};
})"""
RINGS = """() => [...document.querySelectorAll("a[href], button, summary, [tabindex]")].map(e => {
  e.focus({focusVisible: true});
  const at = document.activeElement, style = getComputedStyle(at);
  return [at.tagName, e.tabIndex, style.outlineStyle, parseFloat(style.outlineWidth), style.outlineColor];
})"""

OPEN_ALL = "document.querySelectorAll('details').forEach(d => { d.open = true })"
# rows of one look have one contrast: axe asks where every letter lies, for minutes on a page of long tables
ONE_OF_A_LOOK = """() => {
  const seen = new Set();
  const looks = e => [...e.querySelectorAll('*')].map(e => e.tagName + e.className).join();
  for (const row of document.querySelectorAll('tbody tr')) {
    const around = [];
    for (let at = row; at; at = at.parentElement) around.push(at.tagName + at.className);
    const look = around.join() + looks(row);
    if (seen.has(look)) row.remove();
    seen.add(look);
  }
}"""
OF_LOOKS = ["color-contrast", "link-in-text-block", "target-size", "scrollable-region-focusable"]
AXE = Axe()


def faults(page, only=()):
    """What axe-core finds with all that is folded opened, WCAG 2.2 AA and best practices, or some rules only."""
    page.evaluate(OPEN_ALL)
    rules = {"color-contrast": {"enabled": False}, "target-size": {"enabled": True}}
    asked = {"runOnly": list(only)} if only else {"rules": rules}
    found = AXE.run(page, options=asked | {"resultTypes": ["violations"]}).response
    assert found["passes"]
    return [
        f"{fault['id']}: {node['html'][:200]}: {node['failureSummary']}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


def faults_of_looks(page):
    """What axe-core finds that hangs on width and colours, in one table row of each look."""
    page.evaluate(ONE_OF_A_LOOK)
    return faults(page, OF_LOOKS)


def colour(css):
    red, green, blue, *alpha = map(float, re.findall(r"[\d.]+", css))
    return (red, green, blue), alpha[0] if alpha else 1.0


def contrast(one, two):
    """Contrast of two colours as WCAG 2 defines it, 1 to 21."""

    def luminance(rgb):
        parts = [c / 255 / 12.92 if c <= 0.04045 * 255 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def ground(behind):
    """The colour of a stack of backgrounds, innermost first, over white."""
    rgb = (255.0, 255.0, 255.0)
    for css in reversed(behind):
        top, alpha = colour(css)
        rgb = tuple(alpha * a + (1 - alpha) * b for a, b in zip(top, rgb, strict=True))
    return rgb


def pale(page):
    """Texts with less contrast than AA asks for."""
    return [
        found["text"]
        for found in page.evaluate(TEXTS)
        if contrast(colour(found["colour"])[0], ground(found["behind"])) < (3 if found["large"] else 4.5)
    ]


def jumps(page):
    """Headings more than one level below the one before; the first is to be the only h1."""
    levels = [int(name[1]) for name in page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]"
                                                     ".map(h => h.tagName)")]  # fmt: skip
    return levels[:1] != [1] or levels.count(1) != 1 or any(b > a + 1 for a, b in pairwise(levels))
