"""Writes the C program that prints where every field of every public struct lies.

Also compares the symbols that the library exports, a file of them, with the functions of the header.
"""

import sys

from signatures import Header

header = Header(sys.argv[1])
exported = set(open(sys.argv[2]).read().split())
declared = {function.name for function in header.functions}
if exported != declared:
    sys.exit(f"only exported: {sorted(exported - declared)}; only declared: {sorted(declared - exported)}")

print('#include "etclite.h"\n#include <stdio.h>\n\nint main(void) {')
for name, fields in sorted(header.structs.items()):
    print(f'    printf("{name} %zu\\n", sizeof({name}));')
    for field in fields:
        print(f'    printf("  {field} %zu %zu\\n", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));')
print("    return 0;\n}")
