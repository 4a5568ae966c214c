"""What a generated program may try. Each is a piece of Python that raises OSError where it is refused.

Those that do no harm where nothing refuses them are tried without a sandbox too, so that it is seen that they would have worked.
`SECRET`, `FOLDER`, `PORT` and `CODE` are put in by the test: a file of another, a folder that may be written to, a port that
listens, a module of the verifier.
"""

PROGRAM = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    result = libc.syscall(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result
number = int(input())
try:
{attack}
except OSError:
    print(number * number)
else:
    print("ESCAPED")
"""
"""Right exactly if the attack is refused."""

READING = {
    "read the password file": "open('/etc/passwd').read()",
    "read a token of the process that grades": "open(SECRET).read()",
    "read it through a path that begins where reading is allowed": "open('/usr/lib/../..' + SECRET).read()",
    "read it by a descriptor of a folder": "os.open(os.path.basename(SECRET), 0, dir_fd=os.open(os.path.dirname(SECRET), 0))",
    "list the root folder": "os.listdir('/')",
    "look for other samples where the program starts": "os.listdir('.')",
    "read its own environment": "open('/proc/self/environ').read()",
    "read the environment of its parent": "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    "read the memory of its parent": "open(f'/proc/{os.getppid()}/mem', 'rb').seek(0)",
    "list processes": "os.listdir('/proc')",
    "read the verifier's own code": "open(CODE).read()",
    "find a token in the environment": "if not os.environ.get('HF_TOKEN'): raise OSError('no token')",
}
WRITING = {
    "write a file": "open(FOLDER + '/written', 'w').write('x')",
    "write a file where it starts": "open('written', 'w').write('x')",
    "write into the standard library": "open(os.__file__, 'a').write('')",
    "append to a file of another": "open(SECRET, 'a').write('x')",
    "truncate a file of another": "os.truncate(SECRET, 0)",
    "empty a file of another by opening it": "os.open(SECRET, os.O_TRUNC)",
    "remove a file of another": "os.unlink(SECRET)",
    "rename a file of another": "os.rename(SECRET, FOLDER + '/renamed')",
    "make a folder": "os.mkdir(FOLDER + '/made')",
    "make a symbolic link to a secret": "os.symlink(SECRET, FOLDER + '/link')",
    "make a hard link to a secret": "os.link(SECRET, FOLDER + '/link')",
    "make a named pipe": "os.mkfifo(FOLDER + '/pipe')",
    "change permissions": "os.chmod(SECRET, 0o777)",
    "set times of a file": "os.utime(SECRET, (0, 0))",
    "set an attribute of a file": "os.setxattr(SECRET, 'user.x', b'x')",
    "make an unnamed file": "os.open(FOLDER, os.O_TMPFILE | os.O_RDWR)",
    "make a file in memory": "os.memfd_create('x')",
    "make shared memory that outlives it": "call(29, 0, 4096, 0o1600)",
}
NETWORK = {
    "connect to a port": "import socket; socket.create_connection(('127.0.0.1', PORT), 1)",
    "open a UDP socket": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "open a Unix socket": "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "open a netlink socket": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "open a pair of sockets": "import socket; socket.socketpair()",
    "resolve a name": "import socket; socket.getaddrinfo('localhost', 80)",
    "fetch a page": "import urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{PORT}/', timeout=1)",
}
PROCESSES = {
    "fork": "os.fork() or os._exit(0)",
    "start a program": "import subprocess; subprocess.run(['/bin/true'], check=True)",
    "start a shell": "if os.system('true') != 0: raise OSError('refused')",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "become another program": "os.execv('/bin/echo', ['echo', 'ESCAPED'])",
    "fork by a system call": "call(57) or os._exit(0)",
    "clone by a system call": "call(56, 17, 0, 0, 0, 0) or os._exit(0)",
    "clone in the new way": "call(435, bytes(88), 88)",
    "start a worker process": "import multiprocessing as m; m.get_context('fork').Process(target=print).start()",
}
SIGNALS = {
    "signal its parent": "os.kill(os.getppid(), 0)",
    "end its parent": "os.kill(os.getppid(), 9)",
    "signal everybody": "os.kill(-1, 0)",
    "signal its group": "os.kill(0, 0)",
    "signal a thread of its parent": "call(234, os.getppid(), os.getppid(), 0)",
    "signal its parent by a descriptor": "import signal; signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0)",
    "have the kernel signal its parent": "import fcntl; fcntl.fcntl(1, fcntl.F_SETOWN, os.getppid())",
    "trace its parent": "call(101, 16, os.getppid(), 0, 0)",
    "read the memory of its parent by a system call": "call(310, os.getppid(), 0, 0, 0, 0, 0)",
    "take a descriptor of its parent": "call(438, os.pidfd_open(os.getppid()), 0, 0)",
    "watch the kernel": "call(298, bytes(128), 0, -1, -1, 0)",
}
PRIVILEGES = {
    "become root": "os.setuid(0)",
    "change its groups": "os.setgroups([])",
    "change its root folder": "os.chroot('/')",
    "mount": "call(165, b'none', FOLDER.encode(), b'tmpfs', 0, 0)",
    "make a namespace": "call(272, 0x10000000)",
    "set its own limits": "call(302, 0, 4, bytes(16), 0)",
    "set the clock": "import time; time.clock_settime(time.CLOCK_REALTIME, 0)",
    "shift the clock": "call(159, bytes(208))",
    "run before others": "os.setpriority(os.PRIO_PROCESS, 0, -5)",
    "choose its cores": "os.sched_setaffinity(0, {0})",
    "load a program into the kernel": "call(321, 0, bytes(72), 72)",
    "use the kernel's keys": "call(250, 0, -3, 0)",
    "handle page faults": "call(323, 0)",
    "hand work to the kernel": "call(425, 1, bytes(120))",
    "loosen the layout of memory": "call(135, 0x0040000)",
    "call the system in another machine's way": "call(0x40000000 + 39)",
    "type into a terminal": "import fcntl; fcntl.ioctl(0, 0x5412, b'x')",
    "leave its session": "os.setsid()",
    "open more files than it may": "files = [open('/dev/null') for _ in range(100)]",
}
REFUSED = READING | WRITING | NETWORK | PROCESSES | SIGNALS | PRIVILEGES

LEFT_OUT = (
    *("write into the standard library", "set an attribute of a file", "make an unnamed file"),
    *("make shared memory that outlives it", "find a token in the environment", "read the memory of its parent"),
)
HARMLESS = (
    *(name for name in READING if name not in LEFT_OUT),
    *(name for name in WRITING if name not in LEFT_OUT),
    *(name for name in NETWORK if name not in ("fetch a page", "resolve a name", "open a netlink socket")),
    *("fork", "start a program", "start a shell", "spawn", "become another program", "fork by a system call"),
    *("clone by a system call", "start a worker process", "signal its parent", "signal everybody", "signal its group"),
    *("signal a thread of its parent", "signal its parent by a descriptor", "have the kernel signal its parent"),
    *("set its own limits", "choose its cores", "open more files than it may"),
)
"""Those that work where nothing refuses them, and do no harm there."""

ENDLESS = {
    "loop": "while True: pass",
    "sleep": "import time; time.sleep(1000)",
    "a huge number": "9 ** 9 ** 9",
    "a regular expression that never ends": "import re; re.match(r'(a+)+$', 'a' * 60 + 'b')",
    "ignoring every signal": (
        "import signal\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n    except OSError: pass\n"
        "while True: pass"
    ),
    "stopping itself": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "waiting for more input": "import os, sys, time\nwhile True: os.read(0, 1) or time.sleep(0.01)",
    "threads that never end": (
        "import threading, time\nfor _ in range(8): threading.Thread(target=time.sleep, args=(1000,)).start()"
    ),
    "an endless exit": "import atexit, time; atexit.register(time.sleep, 1000)",
}
GREEDY = {
    "memory": ("x = [0] * 10**10", "MemoryError"),
    "memory, bit by bit": ("x = []\nwhile True: x.append('x' * 10**6)", "MemoryError"),
    "a text that unpacks to more": (
        "import zlib; x = zlib.decompress(zlib.compress(bytes(2**28)) , bufsize=2**33)",
        "MemoryError",
    ),
    "mapped memory": ("import mmap; x = mmap.mmap(-1, 2**34)", "OSError"),
    "output": ("while True: print('x' * 10**6)", "output limit"),
    "a file with a hole": ("import os\nos.lseek(1, 2**40, 0); os.write(1, b'x')", "OSError"),
    "errors": ("import sys\nwhile True: sys.stderr.write('x' * 10**6)", "output limit"),
    "threads": (
        "import threading, time\nthreading.stack_size(32768)\nwhile 1: threading.Thread(target=time.sleep, args=(99,)).start()",
        "thread limit",
    ),
    "depth": ("import sys; sys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6): x = [x]\nstr(x)", ""),
    "brackets": ("eval('(' * 10**6)", ""),
    "a null pointer": ("import ctypes; ctypes.string_at(0)", "ended by signal 11"),
    "giving up": ("import os; os.abort()", "ended by signal 6"),
    "an exit without output": ("import os; os._exit(0)", "wrong output"),
    "an exit in good order": ("import sys; sys.exit(0)", "wrong output"),
    "closing its output": ("import os; os.close(1)", ""),
    "a pickle that runs a program": ("import pickle; print(pickle.loads(b\"cos\\nsystem\\n(S'true'\\ntR.\"))", "wrong output"),
}
"""Programs that want too much or end in odd ways, each with what the verdict says of it; all of them are wrong."""

FORGED = {
    "ends as if all were well": "import os; os._exit(0)",
    "ends as if all were well, when called": "import os\ndef square(x): os._exit(0)",
    "leaves in good order": "import sys; sys.exit(0)",
    "raises the exit that tests might take for success": "def square(x): raise SystemExit(0)",
    "returns what equals everything": "class Any:\n    def __eq__(self, other): return True\ndef square(x): return Any()",
    "returns a number that equals everything": (
        "class Any(int):\n    def __eq__(self, other): return True\n    def __sub__(self, other): return 0\n"
        "def square(x): return Any()"
    ),
    "replaces what compares": (
        "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.AssertionError = ValueError\ndef square(x): return 1"
    ),
    "has an abs of its own": "def abs(x): return 0\ndef square(x): return 1",
    "has a math of its own": "class math:\n    isclose = staticmethod(lambda *_: True)\ndef square(x): return 1",
    "looks for the expected value in its callers": (
        "import sys\ndef square(x):\n    frame, wanted = sys._getframe(), ''.join(['square', '(7)'])\n    while frame:\n"
        "        for value in (*frame.f_locals.values(), *frame.f_globals.values()):\n"
        "            if value == 49 or value is not wanted and wanted in str(value): return 49\n"
        "        frame = frame.f_back\n    return 0"
    ),
    "looks for the tests in memory": (
        "import gc\ndef square(x):\n    wanted = ''.join(['square', '(7)'])\n"
        "    holders = [o for o in gc.get_objects() if isinstance(o, (list, tuple, dict))]\n"
        "    held = (o for holder in holders for o in (holder.values() if isinstance(holder, dict) else holder))\n"
        "    return 49 if any(isinstance(o, str) and wanted in o for o in held) else 0"
    ),
    "writes a result of its own": 'import os\nos.write(1, b\'{"failed": null, "why": ""}\')\ndef square(x): os._exit(0)',
    "answers before it is asked, and then ends": "import os\nos.write(4, b'{\"value\": true}\\n')\nos._exit(0)",
    "closes the pipe": "import os\nos.close(4)\ndef square(x): return 49",
    "answers with something else": "import os\ndef square(x):\n    os.write(4, b'nonsense\\n')",
    "answers with a deep value": "def square(x):\n    v = []\n    for _ in range(10**5): v = [v]\n    return v",
    "answers with a value that holds itself": "def square(x):\n    v = []\n    v.append(v)\n    return v",
    "answers with too much": "def square(x): return 'x' * 10**9",
    "says that it is not implemented": "def square(x): return NotImplemented",
    "raises what a test raises": "def square(x): raise AssertionError('49')",
    "has another name": "def cube(x): return 49",
    "is no program": "def square(x: return 49",
}
"""Programs that are called and want to pass for right: `square(7)` shall be 49, and none of them computes it."""
