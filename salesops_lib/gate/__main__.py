"""`python -m salesops_lib.gate` prints every check as Markdown."""

from salesops_lib.gate import catalogue

if __name__ == "__main__":
    print(catalogue(), end="")
