"""The README's quick start for C, as it stands there: its program, the command that builds it, the one that runs it.

Arguments: the root of the repository, where the libraries were built, and an empty directory. The library has just been
built, so the first command's `cargo build` is only compared with what the Makefile runs.
"""

import os
import subprocess
import sys

root, built, directory = sys.argv[1:]
text = open(f"{root}/README.md", encoding="utf-8").read()
section = text.split("<!-- c -->")[1].split("<!-- /c -->")[0]
program = section.split("```c\n")[1].split("```")[0]
session = section.split("```console\n")[1].split("```")[0].splitlines()
commands = [line[2:] for line in session if line.startswith("$ ")]
printed = [line for line in session if not line.startswith("$ ")]
assert len(commands) == 2 and printed, session

cargo, compile_it = commands[0].split(" && ")
assert cargo == "cargo build --release -p etclite-ffi", cargo
with open(f"{directory}/hello.c", "w", encoding="utf-8") as file:
    file.write(program)
os.symlink(f"{root}/include", f"{directory}/include")
os.mkdir(f"{directory}/target")
os.symlink(built, f"{directory}/target/release")

warnings = " -Wall -Wextra -pedantic -Werror"
subprocess.run(compile_it + warnings, shell=True, check=True, cwd=directory)
for _ in range(2):
    ran = subprocess.run(commands[1], shell=True, check=True, cwd=directory, capture_output=True, text=True)
    assert ran.stdout.splitlines() == printed, ran.stdout
