"""What people do with the pages of the service, by events of a real browser."""

import contextlib
import json

from browsers import DOWN, ENTER, HOME, Browser, PageGone

_CONTROL = "\ue009"


def write(browser: Browser, selector: str, text: str) -> None:
    """Clicks into a field and types."""
    browser.click(selector)
    browser.press(*text)


def sign_in(browser: Browser, address: str, name: str, password: str) -> None:
    """Opens the service in a window of ordinary size, and signs in."""
    browser.resize(1280, 800)
    browser.open(address)
    write(browser, "#name", name)
    write(browser, "#password", password)
    browser.press(ENTER)
    browser.until("document.querySelector('nav.pages')")


def write_anew(browser: Browser, selector: str, text: str) -> None:
    """Types in place of all that a field has."""
    browser.click(selector)
    browser.press("a", held=_CONTROL)
    browser.press(*text)
    browser.until(f"document.querySelector({json.dumps(selector)}).value === {json.dumps(text)}")


def choose(browser: Browser, selector: str, option: str) -> None:
    """Chooses an option of a list with the keyboard, by what it says."""
    options = f"[...document.querySelector({json.dumps(selector)}).options]"
    number = browser.evaluate(f"{options}.findIndex((one) => one.text === {json.dumps(option)})")
    browser.click(f"label[for={selector.removeprefix('#')}]")
    browser.press(HOME, *[DOWN] * number)
    browser.until(f"{options}[{number}].selected")


def shows(browser: Browser, text: str) -> None:
    """Waits until the page shows a text."""
    browser.until(f"document.body?.innerText.includes({json.dumps(text)})")


def press_button(browser: Browser, text: str, *, within: str = "main") -> None:
    """Clicks the first button with a text, once it is there."""
    _click_what_says(browser, text, within + " button")


def follow_link(browser: Browser, text: str, *, within: str = "main") -> None:
    """Clicks the first link with a text, once it is there."""
    _click_what_says(browser, text, within + " a")


def unfold(browser: Browser, text: str, *, within: str = "main") -> None:
    """Clicks what opens a part of the page."""
    _click_what_says(browser, text, within + " summary")


def _click_what_says(browser: Browser, text: str, selector: str) -> None:
    """Clicks the first element of a selector whose text begins so.

    A live update may put it elsewhere before the click: then it is clicked there.
    """
    nodes = f"[...document.querySelectorAll({json.dumps(selector)})]"
    wanted = f"{nodes}.find((node) => node.innerText.trim().startsWith({json.dumps(text)}))"
    clicked = False
    while not clicked:
        browser.until(wanted)
        place = browser.evaluate(
            f"(() => {{ const node = {wanted}; if (!node) return null;"
            " sessionStorage.removeItem('pressed');"
            " node.addEventListener('click', () => sessionStorage.setItem('pressed', 'yes'));"
            " node.scrollIntoView({block: 'nearest', inline: 'nearest'});"
            " const box = node.getBoundingClientRect();"
            " return [box.left + box.width / 2, box.top + box.height / 2]; })()"
        )
        if place is not None:
            browser.drag([(place[0], place[1])])
            with contextlib.suppress(PageGone):  # then the click has led to another one
                clicked = True
                clicked = browser.evaluate("sessionStorage.getItem('pressed') === 'yes'")
