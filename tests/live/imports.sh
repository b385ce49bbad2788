#!/bin/bash
# New code that needs symbols which the old build did not import: each is bound to what the dynamic linker would have
# found, and where that is not certain apply refuses.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
plan 25
cc=${CC:-gcc}

cat >"$scratch/helper.c" <<'END'
__asm__(".symver helper_old, helper@ONE");
__asm__(".symver helper_new, helper@@TWO");
int helper_old(void) { return 1; }
int helper_new(void) { return 2; }
int helper_data = 3;
static int choose_four(void) { return 4; }
static int (*resolve(void))(void) { return choose_four; }
int choose(void) __attribute__((ifunc("resolve")));
END
echo 'ONE { global: helper; local: *; }; TWO { global: helper; helper_data; choose; } ONE;' >"$scratch/helper.map"
# The old build knows helper() only by what it is linked with; of weak symbols, one is there and one is not.
cat >"$scratch/target.c" <<'END'
#include <stddef.h>
int answer(void);
#if VERSION == 2
int helper(void);
extern int helper_data;
int choose(void);
int absent(void) __attribute__((weak));
#endif
int answer(void)
{
#if VERSION == 2
	return helper() * 1000 + helper_data * 100 + choose() * 10 + (absent ? absent() : 6);
#else
	return 7;
#endif
}
END
cat >"$scratch/host.c" <<'END'
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	int (*answer)(void);
	char line[100];
	void *helper = argc > 2 ? dlopen(argv[2], RTLD_NOW | RTLD_GLOBAL) : NULL;
	void *target = dlopen(argv[1], RTLD_NOW);

	if (!target || (argc > 2 && !helper))
		return puts(dlerror()), 1;
	answer = (int (*)(void))dlsym(target, "answer");
	while (fgets(line, sizeof(line), stdin)) {
		printf("%d\n", answer());
		fflush(stdout);
	}
	return 0;
}
END
# Something else that is bound to choose(), so that what it chose stands somewhere.
echo 'int choose(void); int user(void); int user(void) { return choose(); }' >"$scratch/user.c"
# Another definition of helper(), without a version.
echo 'int helper(void); int helper(void) { return 9; }' >"$scratch/other.c"

build() {
	local old="$1"
	"$cc" -O2 -fPIC -shared -Wl,--build-id -Wl,--version-script="$scratch/helper.map" -Wl,-soname,libhelper.so -o "$scratch/libhelper.so" "$scratch/helper.c" &&
		"$cc" -O2 -fPIC -shared -Wl,--build-id -Wl,-soname,libtarget.so -Wl,--no-as-needed $old -o "$scratch/libtarget.so.1" -DVERSION=1 "$scratch/target.c" &&
		"$cc" -O2 -fPIC -shared -Wl,--build-id -Wl,-soname,libtarget.so -o "$scratch/libtarget.so.2" -DVERSION=2 "$scratch/target.c" -L"$scratch" -lhelper &&
		"$cc" -O2 -fPIC -shared -Wl,--build-id -Wl,-z,now -Wl,-soname,libuser.so -o "$scratch/libuser.so" "$scratch/user.c" -L"$scratch" -lhelper &&
		"$cc" -O2 -fPIC -shared -Wl,--build-id -o "$scratch/libother.so" "$scratch/other.c" &&
		"$cc" -O2 -Wl,--build-id -o "$scratch/host" "$scratch/host.c" -ldl &&
		limit 30 "$stent" diff "$scratch/libtarget.so.1" "$scratch/libtarget.so.2" -o "$scratch/fix.stent" --name fix
}

host() {
	exec "$@" <"$scratch/questions" >"$scratch/answers"
}

# host_start COMMAND...: with pipes to ask it
host_start() {
	rm -f "$scratch/questions" "$scratch/answers"
	mkfifo "$scratch/questions" "$scratch/answers"
	start host env "LD_LIBRARY_PATH=$scratch" "$@"
	exec 5>"$scratch/questions" 6<"$scratch/answers"
}

answers() {	# NUMBER
	local answer
	echo >&5
	read -r -t 10 answer <&6
	[ "$answer" = "$1" ] || { echo "the answer is $answer"; return 1; }
}

refused() {	# TEXT
	limit 30 "$stent" apply "$scratch/fix.stent" -p "$started" >"$scratch/output" 2>&1
	[ $? = 2 ] && grep -q "$1" "$scratch/output" || { cat "$scratch/output"; return 1; }
}

check "the libraries are built, and compared" build "-L$scratch -lhelper" || exit 1
check "the patch names what it needs" grep -q "helper" <(strings "$scratch/fix.stent")

host_start "$scratch/host" "$scratch/libtarget.so.1" "$scratch/libuser.so"
check "the old version runs" answers 7
check "apply" limit 30 "$stent" apply "$scratch/fix.stent" -p "$started"
check "function of the right version, variable, chosen function, weak symbol that nobody has" answers 2346
check "revert" limit 30 "$stent" revert fix -p "$started"
check "the old version runs again" answers 7
exec 5>&- 6<&-

# The slots of libhelper itself and of libuser are the only ones that say what choose() is.
host_start "$scratch/host" "$scratch/libtarget.so.1"
check "a process in which nobody has used choose()" answers 7
check "is refused, because what it chooses is not known" refused "choose.*nothing in the process says which was chosen"
check "and goes on" answers 7
exec 5>&- 6<&-

host_start env "LD_PRELOAD=$scratch/libother.so" "$scratch/host" "$scratch/libtarget.so.1" "$scratch/libuser.so"
check "a process with another helper(), which is found first" answers 7
check "is refused, because there are two" refused "helper@TWO, which is defined more than once"
check "and goes on" answers 7
exec 5>&- 6<&-

check "the old build again, without the library" build "" || exit 1
host_start "$scratch/host" "$scratch/libtarget.so.1" "$scratch/libuser.so"
check "a process that has the library for somebody else" answers 7
check "is refused, because the library may be unloaded" refused "none that the patched one keeps loaded"
check "and goes on" answers 7
exec 5>&- 6<&-

host_start "$scratch/host" "$scratch/libtarget.so.1"
check "a process without the library" answers 7
check "is refused, because nobody defines what it needs" refused "which no image of the process defines"
check "and goes on" answers 7
exec 5>&- 6<&-

# What plugins need they take from their program, and what that needs; nobody unmaps these.
plugin() {
	echo 'int helper_data = 5; int helper(void) { return 8; } int choose(void) { return 4; }' >"$scratch/exports.c"
	"$cc" -O2 -w -rdynamic -Wl,--build-id -o "$scratch/exports" "$scratch/host.c" "$scratch/exports.c" -ldl &&
		"$cc" -O2 -w -fPIC -shared -Wl,--build-id -Wl,-soname,libtarget.so -o "$scratch/libtarget.so.2" -DVERSION=2 "$scratch/target.c" &&
		limit 30 "$stent" diff "$scratch/libtarget.so.1" "$scratch/libtarget.so.2" -o "$scratch/fix.stent" --name fix
}

check "a new build whose symbols are the program's" plugin || exit 1
host_start "$scratch/exports" "$scratch/libtarget.so.1"
check "the old version runs in it" answers 7
check "apply" limit 30 "$stent" apply "$scratch/fix.stent" -p "$started"
check "function, variable and function of the program" answers 8546
check "revert" limit 30 "$stent" revert fix -p "$started"
exec 5>&- 6<&-
