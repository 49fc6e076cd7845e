from tests.attacks.shim import *
from tests.runtime.processes import survivors, lives
import pytest, time
def test_p1_drain(arena):
    arena.set_up({"on":{"tools/call":[[{"flooding_child":"junk junk junk\n"},{"exit":3}]]}})
    with arena.start() as s:
        s.open(); 
        t=time.time()
        try: print(s.call("safe"), time.time()-t)
        finally:
            print(s.stderr)
            for p in arena.pids().values(): print(p, lives(p))
def test_p2_endless(arena):
    arena.set_up({"on":{"tools/call":[[{"deaf":1},{"for_ever":"x"*65536}]]}})
    with arena.start() as s:
        s.open(); t=time.time()
        print(s.call("safe"), time.time()-t, memory_kib(s.pid))
        m=0
        while s.process.poll() is None:
            try: m=memory_kib(s.pid)
            except Exception: pass
            time.sleep(.05)
        print("ended",s.ended(), time.time()-t, m)
    print(len(s.stderr), s.stderr[:500])
def test_p3_guardian(arena):
    arena.set_up({"on":{"tools/call":[[]]}})
    with arena.start() as s:
        s.open()
        g,=children_of(s.pid)
        os.kill(g,9)
        time.sleep(.3)
        print(s.request(5,"tools/call",tool("safe")))
        arena.policy(RULES+"\n# changed\n")
        time.sleep(1)
        print(s.stderr)
        s.ask(6,"tools/call",tool("safe"))
        s.ask(7,"tools/list")
        print(s.answer_to(7))
        print(s.answers(6))
        print(s.raw)
        print(children_of(s.pid), arena.log)
@pytest.mark.parametrize("fds",["<&-",">&-","2>&-","<&- >&- 2>&-"])
def test_p4_closed(arena, fds):
    arena.set_up()
    r=subprocess.run(["sh","-c",f"exec {arena.project.command} run --project {arena.project.root} lab {fds}"],env=arena.project.env,cwd=arena.project.root,capture_output=True,timeout=10, input=encoded({"jsonrpc":"2.0","id":1,"method":"tools/list"}))
    print(r)
def test_p6_announce(arena):
    arena.set_up(rules='log=["*"]\n')
    with arena.start() as s:
        s.open(); s.call("x\nmcpwrap: evil\x1b[31m")
    print(repr(s.stderr))
def test_p7_banner(arena):
    arena.set_up({"start":[{"raw":"Starting...\n"},{"need":"TOKEN"}]})
    with arena.start(env={**arena.project.env,"TOKEN":"s"}) as s:
        print(s.open()); print(s.call("mcpwrap_status"))
    print(repr(s.stderr))
def test_p8_slow(arena):
    arena.set_up({"on":{"tools/call":[[{"repeat":[1,'{"jsonrpc":"2.0", "id": 5, "result":{"content":[']},{"repeat":[5_000_000,'{"a": {}},']},{"raw":'{}]}}\n'}]]}})
    with arena.start() as s:
        s.open(); t=time.time()
        s.ask(5,"tools/call",tool("safe"))
        time.sleep(1.5); s.process.terminate()
        print("term->end", s.ended(), time.time()-t-1.5)
        print(memory_kib(os.getpid()))
def test_p9_pending(arena):
    arena.set_up({"on":{"tools/call":[[]]}})
    with arena.start() as s:
        s.open(); t=time.time(); m=memory_kib(s.pid)
        s.send_bytes(b"".join(encoded({"jsonrpc":"2.0","id":i,"method":"tools/call","params":tool("safe")}) for i in range(10,200010)))
        s.request(5,"ping")
        print("200k pending", time.time()-t, m, memory_kib(s.pid))
