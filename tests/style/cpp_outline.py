"""Where the functions of a C++ file begin and end: enough of the grammar to count lines by."""

import re

TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<raw>R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)")
      | (?P<string>"(?:\\.|[^"\\\n])*")
      | (?P<char>(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+')
      | (?P<directive>^[ \t]*\#(?:\\\n|[^\n])*)""",
    re.VERBOSE | re.DOTALL | re.MULTILINE)

CONTAINER = re.compile(
    r"^(?:template\b.*?>\s*)?(?:inline\s+|typedef\s+)?(?:namespace|class|struct|union|enum)\b|^extern$", re.DOTALL)


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def blank_comments_and_strings(text):
    """The same lines and columns, with comments and literals blank; directives stay."""
    return TOKEN.sub(lambda token: token.group(0) if token.group("directive") else blank(token.group(0)), text)


def functions_of(text):
    """(name, first line, last line) of each function that has a body here; a lambda is part of what it is in."""
    code = TOKEN.sub(lambda token: blank(token.group(0)), text)
    line = 1
    head_start = 0  # where the declaration that may open a brace begins
    open_braces = []  # outside of functions: None, or (name, first line) for the one that is being read
    nested = 0  # braces open within the function
    in_head = 0  # parentheses, and braces that initialize something, open within the declaration
    for index, char in enumerate(code):
        if char == "\n":
            line += 1
        elif nested:
            nested += {"{": 1, "}": -1}.get(char, 0)
            if not nested:
                yield *open_braces.pop(), line
                head_start = index + 1
        elif char == "(" or (char == "{" and (in_head or initializes(code, head_start, index))):
            in_head += 1
        elif in_head:
            in_head -= 1 if char in ")}" else 0
        elif char == "{":
            opened = function_opened_by(code, head_start, index)
            open_braces.append(opened)
            nested = 1 if opened else 0
            head_start = index + 1
        elif char == "}":
            if open_braces:
                open_braces.pop()
            head_start = index + 1
        elif char == ";" or (char == ":" and re.search(r"\b(public|private|protected)$", code[head_start:index])):
            head_start = index + 1


def initializes(code, head_start, brace):
    """Whether a brace gives a value, as in `x_{1}` and `= {1}`, rather than opens a body."""
    before = code[head_start:brace]
    return bool(re.search(r"[\w>\]]$|=\s*$", before)) and not CONTAINER.match(before.strip())


def function_opened_by(code, head_start, brace):
    """(name, first line) if the brace opens a function's body, else None."""
    head = code[head_start:brace]
    if "(" not in head or CONTAINER.match(head.strip()):
        return None
    plain = re.sub(r"^\s*template\b.*?>\s", "", head)
    name = re.search(r"(operator\s*[^\s\w(]{1,3}|operator\(\)|~?[\w:~]+)\s*\(", plain)
    lead = head[:len(head) - len(head.lstrip())]
    first = code.count("\n", 0, head_start) + lead.count("\n") + 1
    return (name.group(1) if name else "?"), first
