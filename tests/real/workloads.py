"""How each pair's old program is run, and what a client asks of it: a class per kind, and a table of pairs."""
import ftplib
import gzip
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class NotHere(Exception):
    """The program can't be run on this machine, for a reason that has nothing to do with it."""


def free_port():
    for _ in range(50):
        port = random.randrange(20000, 30000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise RuntimeError("no free port")


def until(seconds, condition, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not happen within {seconds} s")
        time.sleep(0.02)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def exchange(port, request, wanted, kind=socket.SOCK_STREAM):
    """Send the request; what comes back has to contain `wanted`."""
    with socket.socket(socket.AF_INET, kind) as connection:
        connection.settimeout(10)
        connection.connect(("127.0.0.1", port))
        connection.sendall(request)
        answer = b""
        while wanted not in answer:
            part = connection.recv(65536)
            if not part:
                raise RuntimeError(f"wrong answer: {answer[:200]}")
            answer += part
        return answer


def fetch(package, version):
    """The folder that another package is unpacked in, one with the program that uses a library, of the same version."""
    fetched = subprocess.run([os.path.join(HERE, "../../scripts/fetch"), f"{package}={version}"], stdout=subprocess.PIPE, check=True, text=True)
    return fetched.stdout.split()[-1]


class Workload:
    """A process with the old image (`old`: its path), in `folder`, and work for it."""

    def __init__(self, pair, old, folder, libraries):
        self.pair, self.old, self.folder, self.processes = pair, old, folder, []
        self.root = old[:-len(pair.image)] if "*" not in pair.image else old[:old.index("/usr/lib/") + 1]
        self.environment = dict(os.environ, LC_ALL="C", HOME=folder, GS_LIB=ghostscript_folders(libraries),
                                LD_LIBRARY_PATH=f"{os.path.dirname(old)}:{self.root}usr/lib/x86_64-linux-gnu:{libraries}")
        self.log = open(os.path.join(folder, "log"), "w+b")

    def run(self, command, **options):
        process = subprocess.Popen(command, env=self.environment, cwd=self.folder, stdout=options.pop("stdout", self.log), stderr=self.log,
                                   stdin=options.pop("stdin", subprocess.DEVNULL), **options)
        self.processes.append(process)
        return process

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def start(self):
        """Returns the pids of the processes to patch."""
        raise NotImplementedError

    def work(self):
        """One piece of work: raises an exception when the answer is wrong."""
        raise NotImplementedError

    def alive(self):
        return all(process.poll() is None for process in self.processes)

    def end(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.log.close()

    def last_words(self):
        with open(os.path.join(self.folder, "log"), "rb") as log:
            return log.read()[-400:].decode(errors="replace").strip()

    def fate(self):
        """Which processes have ended, and how; and what was written last."""
        ended = [f"process {process.pid} ({os.path.basename(process.args[0])}) has ended with {process.returncode}; "
                 for process in self.processes if process.poll() is not None]
        return "".join(ended) + self.last_words()[-200:]


def ghostscript_folders(libraries):
    share = os.path.join(libraries.split("/usr/lib/")[0], "usr/share/ghostscript/10.00.0")
    return ":".join(os.path.join(share, part) for part in ("Resource/Init", "lib", "Resource/Font", "iccprofiles"))


class Host(Workload):
    """A library in host.py, which uses it all the time."""

    def start(self):
        self.counter = os.path.join(self.folder, "counter")
        with open(self.counter, "wb") as file:
            file.write(bytes(8))
        process = self.run(["/usr/bin/python3", os.path.join(HERE, "host.py"), self.pair.host, self.counter])
        self.work()
        return [process.pid]

    def count(self):
        with open(self.counter, "rb") as file:
            return struct.unpack("<Q", file.read(8))[0]

    def work(self):
        before = self.count()
        until(20, lambda: self.count() > before + 1 or not self.alive(), "a round of work")
        if not self.alive():
            raise RuntimeError(self.last_words())


class Poppler(Host):
    """Used by way of another library of the same version, with a plain interface."""

    def __init__(self, pair, old, folder, libraries):
        super().__init__(pair, old, folder, libraries)
        self.environment["LD_LIBRARY_PATH"] += f":{fetch('libpoppler-glib8', pair.old)}/usr/lib/x86_64-linux-gnu"


class Redis(Workload):
    def start(self):
        self.port = free_port()
        process = self.run([self.old.replace("redis-check-rdb", "redis-server")] if os.path.exists(self.old.replace("redis-check-rdb", "redis-server"))
                           else ["redis-server", "--port", str(self.port), "--save", ""], executable=self.old)
        until(10, lambda: listens(self.port), "listening")
        return [process.pid]

    def work(self):
        exchange(self.port, b"SET a 5\r\nINCR a\r\nLPUSH l x y\r\nDEL l\r\nEVAL \"return 'done'\" 0\r\n", b"done")


class Nginx(Workload):
    def start(self):
        self.port = free_port()
        self.write("index.html", "hello from a file")
        configuration = self.write("nginx.conf", f"""user root; worker_processes 1; daemon off; pid {self.folder}/pid; error_log {self.folder}/error;
events {{ }}
http {{ access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
server {{ listen 127.0.0.1:{self.port}; root {self.folder}; }} }}""")
        process = self.run([self.old, "-p", self.folder, "-c", configuration])
        until(10, lambda: listens(self.port), "listening")
        return [process.pid] + children(process.pid)

    def work(self):
        exchange(self.port, b"GET / HTTP/1.0\r\n\r\n", b"hello from a file")


class Haproxy(Workload):
    def start(self):
        self.port = free_port()
        configuration = self.write("haproxy.cfg", f"""defaults
	mode http
	timeout connect 5s
	timeout client 5s
	timeout server 5s
frontend one
	bind 127.0.0.1:{self.port}
	http-request return status 200 content-type text/plain lf-string "hello"
""")
        process = self.run([self.old, "-f", configuration, "-db"])
        until(10, lambda: listens(self.port), "listening")
        return [process.pid]

    def work(self):
        exchange(self.port, b"GET / HTTP/1.0\r\n\r\n", b"hello")


class Sshd(Workload):
    def start(self):
        self.port = free_port()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(self.folder, "key")], check=True)
        os.makedirs("/run/sshd", exist_ok=True)
        configuration = self.write("sshd_config", f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/key\nUsePAM no\nPidFile none\nMaxStartups 100\n")
        with open("/etc/passwd") as file:
            users = self.write("passwd", file.read() + "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n")
        os.chmod(users, 0o644)
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
            raise NotHere("no mount namespace can be made here")
        process = self.run(["unshare", "--mount", "sh", "-c", 'mount --bind "$1" /etc/passwd && shift && exec "$@"', "sh", users,
                            self.old, "-D", "-e", "-f", configuration])
        until(10, lambda: listens(self.port), "listening")
        return [process.pid]

    def work(self):
        found = subprocess.run(["ssh-keyscan", "-T", "10", "-p", str(self.port), "127.0.0.1"], capture_output=True)
        if b"ssh-ed25519" not in found.stdout:
            raise RuntimeError(f"no key exchange: {found.stderr[-200:]}")


class Git(Workload):
    """cat-file --batch: one process that answers as long as it is asked."""

    def start(self):
        subprocess.run(["git", "init", "-q", "--bare", os.path.join(self.folder, "r.git")], check=True)
        self.name = subprocess.run(["git", "--git-dir", os.path.join(self.folder, "r.git"), "hash-object", "-w", "--stdin"], input=b"content\n" * 100,
                                   capture_output=True, check=True).stdout.strip()
        self.process = self.run([self.old, "--git-dir", os.path.join(self.folder, "r.git"), "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.work()
        return [self.process.pid]

    def work(self):
        self.process.stdin.write(self.name + b"\n")
        self.process.stdin.flush()
        if self.process.stdout.readline() != self.name + b" blob 800\n" or self.process.stdout.read(801) != b"content\n" * 100 + b"\n":
            raise RuntimeError("wrong object")


class Rsyslog(Workload):
    def start(self):
        self.socket = os.path.join(self.folder, "log.sock")
        self.number = 0
        modules = self.root + "usr/lib/x86_64-linux-gnu/rsyslog/"
        configuration = self.write("rsyslog.conf", f"""module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{self.socket}" CreatePath="on")
*.* action(type="omfile" file="{self.folder}/messages")
""")
        process = self.run([self.old, "-n", "-f", configuration, "-i", os.path.join(self.folder, "pid"), "-M", modules])
        until(10, lambda: os.path.exists(self.socket), "the socket")
        return [process.pid]

    def work(self):
        self.number += 1
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(self.socket)
            sender.send(b"<13>Jan  1 00:00:00 host program: message number %d\n" % self.number)
        wanted = b"message number %d\n" % self.number

        def arrived():
            try:
                with open(os.path.join(self.folder, "messages"), "rb") as file:
                    return wanted in file.read()
            except FileNotFoundError:
                return False
        until(10, arrived, "the message in the file")


class Proftpd(Workload):
    def start(self):
        self.port = free_port()
        os.makedirs(os.path.join(self.folder, "files"))
        self.write("files/one", "some content\n")
        os.chmod(self.folder, 0o755)
        configuration = self.write("proftpd.conf", f"""ServerName test
ServerType standalone
DefaultAddress 127.0.0.1
Port {self.port}
UseIPv6 off
User nobody
Group nogroup
PidFile {self.folder}/pid
ScoreboardFile {self.folder}/scoreboard
RequireValidShell off
AuthOrder mod_auth_unix.c
WtmpLog off
TransferLog none
<Anonymous {self.folder}/files>
User nobody
Group nogroup
UserAlias anonymous nobody
</Anonymous>
""")
        process = self.run([self.old, "-n", "-q", "-c", configuration])
        until(10, lambda: listens(self.port), "listening")
        return [process.pid]

    def work(self):
        got = []
        with ftplib.FTP() as client:
            client.connect("127.0.0.1", self.port, timeout=10)
            client.login()
            client.retrlines("RETR one", got.append)
        if got != ["some content"]:
            raise RuntimeError(f"wrong file: {got}")


class Wpa(Workload):
    def start(self):
        self.control = os.path.join(self.folder, "control")
        process = self.run([self.old, "-g", self.control])
        until(10, lambda: os.path.exists(self.control), "the control socket")
        return [process.pid]

    def work(self):
        own = os.path.join(self.folder, f"client-{os.getpid()}-{random.random()}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.bind(own)
            client.connect(self.control)
            for request, answer in ((b"PING", b"PONG"), (b"INTERFACES", b""), (b"GET_CAPABILITY x", b""), (b"RELOG", b"")):
                client.send(request)
                if not client.recv(4096).startswith(answer):
                    raise RuntimeError(f"wrong answer to {request}")
        os.unlink(own)


class Iperf(Workload):
    """The library's server, and a client of the same library."""

    def start(self):
        self.port = free_port()
        self.server = self.run([sys.executable, "-c", IPERF_SERVER, str(self.port)])
        until(10, lambda: listens(self.port), "listening")
        return [self.server.pid]

    def work(self):
        done = subprocess.run([sys.executable, "-c", IPERF_CLIENT, str(self.port)], env=self.environment, capture_output=True, timeout=20)
        if done.returncode:
            raise RuntimeError(f"transfer failed: {done.stderr[-200:]}")


IPERF_SERVER = """
import ctypes, sys
library = ctypes.CDLL("libiperf.so.0")
library.iperf_new_test.restype = ctypes.c_void_p
while True:
    test = ctypes.c_void_p(library.iperf_new_test())
    library.iperf_defaults(test)
    library.iperf_set_test_role(test, ctypes.c_char(b"s"))
    library.iperf_set_test_server_port(test, int(sys.argv[1]))
    library.iperf_run_server(test)
    library.iperf_free_test(test)
"""
IPERF_CLIENT = """
import ctypes, sys
library = ctypes.CDLL("libiperf.so.0")
library.iperf_new_test.restype = ctypes.c_void_p
test = ctypes.c_void_p(library.iperf_new_test())
library.iperf_defaults(test)
library.iperf_set_test_role(test, ctypes.c_char(b"c"))
library.iperf_set_test_server_hostname(test, b"127.0.0.1")
library.iperf_set_test_server_port(test, int(sys.argv[1]))
library.iperf_set_test_duration(test, 1)
sys.exit(library.iperf_run_client(test) != 0)
"""


class Unbound(Workload):
    def start(self):
        self.port = free_port()
        configuration = self.write("unbound.conf", f"""server:
 interface: 127.0.0.1
 port: {self.port}
 username: ""
 chroot: ""
 directory: "{self.folder}"
 pidfile: ""
 use-syslog: no
 do-daemonize: no
 local-zone: "example." static
 local-data: "a.example. IN A 10.1.2.3"
remote-control:
 control-enable: no
""")
        process = self.run([self.old, "-d", "-c", configuration])
        until(10, lambda: listens(self.port), "listening")
        return [process.pid]

    def work(self):
        ask_name(self.port)


class Named(Workload):
    def start(self):
        self.port = free_port()
        self.write("zone", "$TTL 60\n@ IN SOA n. h. 1 60 60 60 60\n IN NS n.example.\nn IN A 10.0.0.1\na IN A 10.1.2.3\n")
        configuration = self.write("named.conf", f"""options {{ directory "{self.folder}"; listen-on port {self.port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
 pid-file none; session-keyfile none; recursion no; dnssec-validation no; }};
controls {{ }};
zone "example" {{ type primary; file "zone"; }};
""")
        process = self.run([self.program(), "-g", "-n", "2", "-c", configuration])
        # Listening is not enough: it drops what it is asked before it has read its zones.
        until(20, lambda: " running\n" in self.last_words() + "\n", "running")
        return [process.pid]

    def program(self):
        return self.old

    def work(self):
        ask_name(self.port)


class NamedLibrary(Named):
    """A library of named's, in the named of the same version."""

    def program(self):
        return f"{fetch('bind9', self.pair.old)}/usr/sbin/named"


def ask_name(port):
    query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01"
    exchange(port, query, b"\x0a\x01\x02\x03", socket.SOCK_DGRAM)
    exchange(port, struct.pack(">H", len(query)) + query, b"\x0a\x01\x02\x03")


class Mosquitto(Workload):
    def start(self):
        self.port = free_port()
        configuration = self.write("mosquitto.conf", f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n")
        process = self.run([self.old, "-c", configuration])
        until(10, lambda: listens(self.port), "listening")
        return [process.pid]

    def work(self):
        connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c"
        subscribe = b"\x82\x06\x00\x01\x00\x01t\x00"
        publish = b"\x30\x08\x00\x01thello"
        exchange(self.port, connect + subscribe + publish, b"thello")


class Php(Workload):
    def start(self):
        self.port = free_port()
        self.write("index.php", '<?php echo strtoupper("hello "), array_sum(array_map(fn($x) => $x * 2, [1, 2, 3])), preg_replace("/a+/", "b", "caat");')
        process = self.run([self.old, "-n", "-S", f"127.0.0.1:{self.port}", "-t", self.folder])
        until(10, lambda: listens(self.port), "listening")
        return [process.pid]

    def work(self):
        exchange(self.port, b"GET / HTTP/1.0\r\n\r\n", b"HELLO 12cbt")


class Memcached(Workload):
    def start(self):
        self.port = free_port()
        process = self.run([self.old, "-u", "root", "-l", "127.0.0.1", "-p", str(self.port)])
        until(10, lambda: listens(self.port), "listening")
        return [process.pid]

    def work(self):
        exchange(self.port, b"set a 0 0 5\r\nhello\r\nget a\r\n", b"VALUE a 0 5\r\nhello")


class Apache(Workload):
    def start(self):
        self.port = free_port()
        self.write("index.html", "hello from a file")
        modules = self.root + "usr/lib/apache2/modules/"
        os.chmod(self.folder, 0o755)
        configuration = self.write("apache.conf", f"""ServerRoot {self.folder}
PidFile {self.folder}/pid
Listen 127.0.0.1:{self.port}
ServerName localhost
LoadModule mpm_event_module {modules}mod_mpm_event.so
LoadModule authz_core_module {modules}mod_authz_core.so
DocumentRoot {self.folder}
DefaultRuntimeDir {self.folder}
ErrorLog {self.folder}/error
User nobody
Group nogroup
StartServers 1
""")
        process = self.run([self.old, "-D", "FOREGROUND", "-f", configuration])
        until(10, lambda: listens(self.port), "listening")
        return [process.pid] + children(process.pid)

    def work(self):
        exchange(self.port, b"GET /index.html HTTP/1.0\r\n\r\n", b"hello from a file")


class Script(Workload):
    """An interpreter that runs a program which counts its rounds, as host.py does."""

    PERL = """
my $n = 0;
while (1) {
    my %h = map { $_ => $_ * 2 } 1..50;
    my $s = join ",", map { sprintf "%03d", $h{$_} } sort { $a <=> $b } keys %h;
    die "wrong" unless $s =~ /^002,004,.*,100$/ and substr(reverse(uc "abc"), 0, 2) eq "CB" and pack("N", 5) eq "\\0\\0\\0\\5";
    open my $f, "+<", $ARGV[0] or die;
    print $f pack "Q<", ++$n;
    close $f;
    select undef, undef, undef, 0.002;
}
"""
    PYTHON = """
import sys, struct, time
n = 0
while True:
    d = {str(i): i * i for i in range(100)}
    assert sorted(d.values())[-1] == 9801 and "%s-%05.1f" % ("a", 1.25) == "a-001.2" and b"ab".hex() == "6162"
    assert struct.unpack("<I", (5).to_bytes(4, "little"))[0] == 5
    n += 1
    with open(sys.argv[1], "r+b") as f:
        f.write(n.to_bytes(8, "little"))
    time.sleep(0.002)
"""

    def start(self):
        self.counter = os.path.join(self.folder, "counter")
        with open(self.counter, "wb") as file:
            file.write(bytes(8))
        perl = self.pair.name == "perl"
        script = self.write("script", self.PERL if perl else self.PYTHON)
        process = self.run([self.old, script, self.counter] if perl else [self.old, "-I", "-S", script, self.counter])
        self.work()
        return [process.pid]

    count, work = Host.count, Host.work


class Udevadm(Workload):
    """udevadm, which writes down what the kernel says of the devices in a network namespace of its own."""

    def start(self):
        probe = subprocess.run(["unshare", "--net", "--mount", "mount", "-t", "sysfs", "none", "/sys"], stderr=subprocess.PIPE, check=False)
        if probe.returncode:
            raise NotHere("no network namespace can be made: " + probe.stderr.decode(errors="replace").strip())
        self.events = open(os.path.join(self.folder, "events"), "w+b")
        process = self.run(["unshare", "--net", "--mount", "sh", "-c", 'mount -t sysfs none /sys && exec "$0" monitor --kernel', self.old],
                           stdout=self.events)
        until(10, lambda: self.count() > 0, "its first line")
        until(10, lambda: os.readlink(f"/proc/{process.pid}/exe") == self.old, "its start")
        self.process = process
        self.work()
        return [process.pid]

    def count(self):
        return os.pread(self.events.fileno(), 1 << 24, 0).count(b"\n")

    def work(self):
        before = self.count()
        subprocess.run(["nsenter", f"--target={self.process.pid}", "--net", "--mount", "sh", "-c", "echo change >/sys/class/net/lo/uevent"], check=True)
        until(10, lambda: self.count() > before, "an event")
        if b"change   /devices/virtual/net/lo (net)" not in os.pread(self.events.fileno(), 1 << 24, 0).splitlines()[-1]:
            raise RuntimeError("another event was written")

    def end(self):
        super().end()
        self.events.close()


class Sslh(Workload):
    """Tells protocols apart on one port, and hands each connection to a server of its own: here it is two that say their names."""

    def start(self):
        self.port = free_port()
        ports = [self.serve(b"SSH-2.0-behind\r\n"), self.serve(b"HTTP/1.0 200 behind\r\n")]
        process = self.run([self.old, "--foreground", "--user", "root", "--pidfile", os.path.join(self.folder, "pid"), "--listen",
                            f"127.0.0.1:{self.port}", "--ssh", f"127.0.0.1:{ports[0]}", "--http", f"127.0.0.1:{ports[1]}"])
        until(10, lambda: listens(self.port), "listening")
        return [process.pid] + children(process.pid)

    def serve(self, answer):
        listener = socket.create_server(("127.0.0.1", 0))

        def accept():
            while True:
                connection = listener.accept()[0]
                with connection:
                    connection.settimeout(10)
                    if connection.recv(100):
                        connection.sendall(answer)

        threading.Thread(target=accept, daemon=True).start()
        return listener.getsockname()[1]

    def work(self):
        exchange(self.port, b"SSH-2.0-client\r\n", b"SSH-2.0-behind")
        exchange(self.port, b"GET / HTTP/1.0\r\n\r\n", b"200 behind")


class Znc(Workload):
    """A client of the bouncer, which asks it for the list of its users, and one of its modules for a setting."""

    def start(self):
        self.port = free_port()
        os.mkdir(os.path.join(self.folder, "configs"))
        os.symlink(self.root + "usr/lib/znc", os.path.join(self.folder, "modules"))
        self.write("configs/znc.conf", f"""Version = 1.8.2
AnonIPLimit = 1000
<Listener one>
	Host = 127.0.0.1
	Port = {self.port}
	IPv4 = true
	IPv6 = false
	SSL = false
</Listener>
<User someone>
	Pass = plain#secret
	Admin = true
	LoadModule = controlpanel
	Nick = someone
</User>
""")
        # As root it waits for half a minute. In a user namespace it is nobody, and the owner of its files all the same.
        if subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode:
            raise NotHere("no user namespace can be made here")
        process = self.run(["unshare", "--user", self.old, "--foreground", "--datadir", self.folder])
        until(20, lambda: listens(self.port), "listening")
        return [process.pid]

    def work(self):
        login = b"PASS someone:secret\r\nNICK someone\r\nUSER someone 0 * :x\r\n"
        exchange(self.port, login + b"PRIVMSG *status :ListUsers\r\n", b"| someone ")
        exchange(self.port, login + b"PRIVMSG *controlpanel :Get Nick someone\r\n", b":Nick = someone")


class AptMethod(Workload):
    """The helper of apt's that unpacks files for it, asked as apt does (apt-method(1))."""

    def start(self):
        self.content = b"".join(b"line %d\n" % number for number in range(5000))
        self.number = 0
        with gzip.open(os.path.join(self.folder, "packed.gz"), "wb") as file:
            file.write(self.content)
        self.process = self.run([f"{fetch('apt', self.pair.old)}/usr/lib/apt/methods/store"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.work()
        return [self.process.pid]

    def work(self):
        self.number += 1
        name = os.path.join(self.folder, f"unpacked.{self.number}")
        self.process.stdin.write(f"600 URI Acquire\nURI: store:{self.folder}/packed.gz\nFilename: {name}\n\n".encode())
        self.process.stdin.flush()
        line = b"begins"
        while line and not line.startswith(b"201 URI Done"):
            line = self.process.stdout.readline()
            if line.startswith(b"400"):
                break
        with open(name, "rb") as file:
            if not line.startswith(b"201") or file.read() != self.content:
                raise RuntimeError(f"wrong file: {line}")
        os.remove(name)


def children(pid):
    def found():
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(x) for x in file.read().split()]
    until(10, found, "a child")
    time.sleep(0.3)
    return found()


WORKLOADS = {
    "redis-server": Redis, "nginx": Nginx, "haproxy": Haproxy, "openssh": Sshd, "git": Git, "rsyslog": Rsyslog, "proftpd": Proftpd, "wpa": Wpa,
    "iperf3": Iperf, "unbound": Unbound, "named": Named, "mosquitto": Mosquitto, "php": Php, "memcached": Memcached, "apache2": Apache,
    "perl": Script, "python3.11": Script, "poppler": Poppler, "udevd": Udevadm,
    "libisc": NamedLibrary, "sslh": Sslh, "znc": Znc, "libapt-pkg": AptMethod,
}

# Libraries whose function in host.py has another name than the pair.
HOSTS = {"jq": "libjq", "ghostscript": "libgs"}
HOSTED = {
    "libarchive", "libpng", "libgd", "jq", "liblzma", "libexpat", "libxml2", "libxslt", "libbrotli", "libnss", "libglib", "libgio", "ghostscript",
    "libass", "libaom", "libmodbus", "librabbitmq", "libwolfssl", "libsystemd", "systemd-shared", "libstrongswan", "libpcre2", "libpq", "libgit2",
    "libevent", "libssh", "libcrypto", "libcurl", "libraw", "libdjvu", "libaprutil", "libgsasl", "libntfs", "libcjose",
}


def find(name):
    """The workload class of a pair, or None."""
    return WORKLOADS.get(name) or (Host if name in HOSTED else None)
