"""Reads etclite.h: its functions with what each parameter is, its structs with their fields, its statuses.

The header is generated, so it is of one form; what does not fit ends the program, lest something goes unchecked.
"""

import re
import sys
from dataclasses import dataclass, field


@dataclass
class Parameter:
    type: str
    name: str
    # handle, handle_out, borrowed_out, bytes, buffer, array, options, info, struct_out, buf_out, view_out, out, err,
    # callback, context, size_of (the length of the one before), number
    kind: str = ""
    # The struct or opaque type without `etclite_`.
    of: str = ""


@dataclass
class Function:
    name: str
    returns: str
    doc: str
    parameters: list = field(default_factory=list)

    def may_be_null(self, parameter):
        """As its comment says: "`a` may be null", "`a` and `b` may be null"."""
        said = re.findall(r"((?:`\w+`(?:, | and )?)+)(?:,? which)? may be null", self.doc)
        return any(f"`{parameter}`" in names for names in said)


class Header:
    def __init__(self, path):
        text = open(path, encoding="utf-8").read()
        self.statuses = {
            name: int(value)
            for name, value in re.findall(r"^#define ETCLITE_(E_\w+|OK|NOT_FOUND|TIMEOUT|END|NOT_ACQUIRED) (-?\d+)$", text, re.M)
        }
        documented = re.sub(r"^#.*$|^extern \"C\" \{$", "", text, flags=re.M)
        code = re.sub(r"/\*.*?\*/|//[^\n]*", "", documented, flags=re.S)
        self.opaque = re.findall(r"typedef struct etclite_(\w+) etclite_\1;", code)
        self.structs = {
            name: self.fields(name, body) for name, body in re.findall(r"typedef struct (etclite_\w+) \{(.*?)\} \1;", code, re.S)
        }
        self.callbacks = re.findall(r"typedef [^;{}]*\(\*(etclite_\w+)\)\([^;]*\);", code)
        self.functions = [self.function(*found) for found in re.findall(r"(?:/\*\*((?:(?!\*/).)*)\*/\s*)?ETCLITE_API\s+([^;]*?)(etclite_\w+)\(([^;]*)\);", documented, re.S)]
        declared = len(re.findall(r"^ETCLITE_API\b", code, re.M))
        assert declared == len(self.functions) > 0, f"{declared} functions are declared, {len(self.functions)} understood"

    @staticmethod
    def fields(name, body):
        fields = []
        for declaration in filter(None, (part.strip() for part in body.split(";"))):
            found = re.fullmatch(r"(?:const )?(?:struct )?\w+[ *]+(?:const )?[ *]*(\w+)(?:\[\d+\])?", declaration)
            assert found, f"a field of {name} that is not understood: {declaration}"
            fields.append(found.group(1))
        return fields

    def function(self, doc, returns, name, parameters):
        doc = re.sub(r"\s*\n \*\s*", " ", doc)
        function = Function(name, returns.strip(), doc)
        if parameters.strip() != "void":
            for declaration in parameters.split(","):
                found = re.fullmatch(r"(.*?)(\w+)", " ".join(declaration.split()), re.S)
                kind = re.sub(r"\bstruct ", "", found.group(1)).replace(" *", "*").replace("* ", "*").strip()
                function.parameters.append(Parameter(kind, found.group(2)))
        for index, parameter in enumerate(function.parameters):
            self.classify(function, index, parameter)
        return function

    def classify(self, function, index, parameter):
        following = function.parameters[index + 1] if index + 1 < len(function.parameters) else None
        sized = following is not None and following.type == "size_t"
        before = function.parameters[index - 1] if index else None
        type = parameter.type
        of = re.fullmatch(r"(const )?etclite_(\w+?)(\*+)", type)
        if type == "etclite_error*":
            parameter.kind = "err"
        elif of and of[2] in self.opaque:
            parameter.of = of[2]
            parameter.kind = {"*": "handle", "**": "borrowed_out" if of[1] else "handle_out"}[of[3]]
        elif of and f"etclite_{of[2]}" in self.structs:
            parameter.of = of[2]
            has_size = self.structs[f"etclite_{of[2]}"][0] == "struct_size"
            if of[3] == "**":
                parameter.kind = "view_out"
            elif of[1]:
                assert has_size, f"{function.name}: {type} without a size"
                parameter.kind = "options"
            else:
                parameter.kind = "info" if has_size else "buf_out" if of[2] == "buf" else "struct_out"
        elif type == "const uint8_t*" and sized:
            parameter.kind = "bytes"
        elif type == "uint8_t*" and sized:
            parameter.kind = "buffer"
        elif type == "const uint8_t**":
            parameter.kind = "view_out"
        elif type in ("int64_t*", "uint64_t*") and sized and following.name == "cap":
            parameter.kind = "array"
        elif type in ("int32_t*", "uint32_t*", "int64_t*", "uint64_t*", "size_t*"):
            parameter.kind = "out"
        elif type == "void*":
            parameter.kind = "context"
        elif type in self.callbacks:
            parameter.kind = "callback"
        elif type == "size_t" and before is not None and before.kind in ("bytes", "buffer", "array"):
            parameter.kind = "size_of"
        elif type in ("int32_t", "uint32_t", "int64_t", "uint64_t", "size_t"):
            parameter.kind = "number"
        else:
            sys.exit(f"{function.name}: a parameter that is not understood: {type} {parameter.name}")

    def calls(self):
        """The functions that return a status."""
        return [function for function in self.functions if function.returns == "int32_t"]
