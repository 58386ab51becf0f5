#!/usr/bin/env python3
"""A driver for etclite in Python, as small as it may be. Needs nothing but Python's own library.

Run it with the program to use:  python3 driver.py target/debug/etclite
As a module:
    with Etclite("etclite", "app.etcl") as db:
        db.put(key="a", value="1")
        print(db.get(key="a")["kv"]["value"])
"""
import itertools, json, queue, subprocess, sys, threading


class Failed(Exception):
    """A request was refused; `code` and `answer` say why."""
    def __init__(self, answer):
        super().__init__("%s: %s" % (answer["code"], answer["message"]))
        self.code, self.answer = answer["code"], answer


class Etclite:
    def __init__(self, program, store=None):
        where = ["exec", "--json", "--in-memory"] if store is None else [store, "exec", "--json"]
        self.process = subprocess.Popen([program] + where, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ids, self.waiting, self.lock = itertools.count(1), {}, threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            self.waiting.pop(answer["id"]).put(answer)

    def begin(self, cmd, **fields):
        """Sends a request; the function that is returned waits for its answer."""
        with self.lock:
            id, box = next(self.ids), queue.Queue()
            self.waiting[id] = box
            self.process.stdin.write(json.dumps(dict(fields, id=id, cmd=cmd)).encode() + b"\n")
            self.process.stdin.flush()

        def finish():
            answer = box.get()
            if not answer["ok"]:
                raise Failed(answer)
            return answer
        return finish

    def __getattr__(self, cmd):
        return lambda **fields: self.begin(cmd, **fields)()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


if __name__ == "__main__":
    with Etclite(sys.argv[1]) as db:
        revision = db.put(key="q1mi", value="dsb")["revision"]
        watch = db.watch(key="q1mi", rev=revision)["watch"]
        later = db.begin("watch_next", client=1, watch=watch)
        for event in later()["events"]:
            print(event["type"], event["kv"]["key"], event["kv"]["value"])
        mine = {"key": "q1mi", "target": "mod", "is": "=", "number": revision}
        print(db.txn(when=[mine], then=[{"cmd": "put", "key": "q1mi", "value": "dsb2"}])["succeeded"])
        try:
            db.get(key="q1mi", rev=99)
        except Failed as failed:
            print(failed.code, failed.answer["detail"]["revision"])
