"""A Python program that calls called.c from its threads, and is called back by it. Speaks as tests/live/victim.c does."""
import ctypes
import sys
import threading

library = ctypes.CDLL(sys.argv[1])
Back = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
errors = 0
parked, leave = threading.Event(), threading.Event()


def fits(number, result):
    global errors
    if result not in (number, 2 * number):
        errors += 1


def call():
    while True:
        for number in range(1, 100):
            fits(number, library.answer(number))


@Back
def wait(number):
    parked.set()
    leave.wait()
    return number


def park():
    fits(0, library.inside(wait, 5) - library.answer(5) - 5)


def say(text):
    print(text, flush=True)


def calculate():
    while True:
        sum(int(str(i)) for i in range(200))


for _ in range(2):
    threading.Thread(target=calculate, daemon=True).start()
say("ready")
for line in sys.stdin:
    if line == "busy\n":
        threading.Thread(target=call, daemon=True).start()
    if line == "park\n":
        threading.Thread(target=park, daemon=True).start()
        parked.wait()
    if line == "unpark\n":
        leave.set()
    say(f"{library.version()} {library.answer(21)} {errors}")
