/*
 * exceptions.cc: a C++ program that is patched; -DV=2 is its update, other macros are updates that can't be made. Each line on its standard input names an experiment, the answer is what happened.
 * A letter with a 1 or a 2 is a function of that version; functions without a number are the same in both versions.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <typeinfo>

#ifndef V
#define V 1
#endif
#define PATCHED __attribute__((noinline, noclone))
#define KEPT __attribute__((noinline, noclone))

static std::string said;

KEPT static void say(char what, int version)
{
	said += what;
	if (version)
		said += (char)('0' + version);
}

/* Destructors that unwinding runs. */
struct guard {
	char name;

	explicit guard(char what) : name(what) {}
	KEPT ~guard() { say(name, 0); }
};

struct failure {
	int number;

	explicit failure(int value) : number(value) {}
	KEPT virtual ~failure() { say('~', 0); }
	KEPT virtual int kind() const { return 10 + number; }
	KEPT virtual int extra() const { return number; }
};

struct special_failure : failure {
	using failure::failure;
	KEPT int kind() const override { return 20 + number; }
#ifdef OVERRIDDEN
	KEPT int extra() const override { return 2 * number; }
#endif
};

namespace {
struct hidden {
	int number;
};
struct never_caught_before {
	int number;
};
}

static failure *volatile an_object = new failure(8);

/* Thrown in both versions. */
KEPT static void throw_it(int what)
{
	switch (what) {
	case 0: return;
	case 1: throw failure(1);
	case 2: throw special_failure(2);
	case 3: throw std::runtime_error("three");
	case 4: throw hidden{ 4 };
	case 5: throw 5;
	case 6: throw never_caught_before{ 6 };
	case 7: throw std::string("seven");
	case 8: (void)dynamic_cast<special_failure &>(*an_object); break;
	default: throw nullptr;
	}
}

/* New code throws. */
PATCHED static void thrower(int what)
{
	guard outer('o');

	say('t', V);
	if (what == 2)
		throw special_failure(V * 100);
	guard inner('i');
	if (what == 4)
		throw hidden{ V * 100 };
	throw_it(what);
	say('e', V);
}

/* New code only cleans up. */
PATCHED static int through(void (*function)(int), int what)
{
	guard one('x');
	int sum = 0;

	say('h', V);
	for (int i = 0; i < V; i++) {
		guard two('y');

		function(i + 1 < V ? 0 : what);
		sum += i;
	}
	return sum;
}

/* New code catches. */
PATCHED static int catcher(int what)
{
	say('c', V);
	try {
		through(throw_it, what);
	} catch (const special_failure &caught) {
		say('s', V);
		return caught.kind();
	} catch (const failure &caught) {
		say('f', V);
		return caught.kind();
	} catch (const hidden &caught) {
		say('u', V);
		return caught.number;
#ifdef IMPORT
	} catch (const std::bad_cast &) {
		say('v', V);
		return 0;
#endif
	} catch (const std::exception &caught) {
		say('r', V);
		return (int)std::strlen(caught.what());
	} catch (int number) {
		say('n', V);
		return number;
#if V > 1
	} catch (const never_caught_before &caught) {
		say('w', V);
		return caught.number;
#endif
	}
	return -1;
}

/* The same instructions whatever it catches: only the tables say. */
#ifdef PICKY
#define CAUGHT special_failure
#else
#define CAUGHT failure
#endif
PATCHED static void tables_only(int what)
{
	try {
		throw_it(what);
	} catch (const CAUGHT &) {
		said += " caught";
	}
}

/* Old code catches whatever comes, by the same types. */
KEPT static void outermost(void (*function)(int), int what)
{
	try {
		guard last('l');

		function(what);
	} catch (const special_failure &caught) {
		said += " special " + std::to_string(caught.kind());
	} catch (const failure &caught) {
		said += " failure " + std::to_string(caught.kind());
	} catch (const hidden &caught) {
		said += " hidden " + std::to_string(caught.number);
	} catch (const std::exception &caught) {
		said += std::string(" ") + caught.what();
	} catch (int number) {
		said += " int " + std::to_string(number);
	} catch (...) {
		said += " other";
	}
}

PATCHED static void rethrower(int what)
{
	say('q', V);
	try {
		throw_it(what);
	} catch (...) {
		guard while_caught('z');

		say('p', V);
		throw;
	}
}

/* Specifications: whatever is thrown in there ends the program. */
PATCHED static void promises(int what) noexcept
{
	say('m', V);
	throw_it(what);
}

static std::exception_ptr kept;

PATCHED static void keep(int what)
{
	say('k', V);
	try {
		thrower(what);
	} catch (...) {
		kept = std::current_exception();
	}
}

KEPT static void throw_kept(int)
{
	std::rethrow_exception(kept);
}

/* Two bases, so calls by the second one go through a thunk. */
struct shape {
	virtual ~shape() {}
#ifdef MORE_VIRTUAL
	virtual int corners() { return 4; }
#endif
	virtual int area() = 0;
};

struct named {
	virtual ~named() {}
	virtual int name(int) = 0;
};

struct square : shape, named {
	int side = 3;
#ifdef GROWN
	long before = 1;
	int colour = 2;
#else
	int colour = 2;
#endif

	PATCHED int area() override
	{
		say('a', V);
		return side * side + colour - 2 + 1000 * V;
	}
	PATCHED int name(int add) override
	{
		say('b', V);
		if (add > 5)
			throw failure(add);
		return side + add + 100 * V;
	}
};

#ifdef ANOTHER
struct circle : square {
	PATCHED int name(int add) override { return add; }
};
#define MADE circle
#else
#define MADE square
#endif

static shape *first_shape;

PATCHED static shape *make_shape()
{
	say('j', V);
	return new MADE;
}

KEPT static void shapes(int what)
{
	shape *other = make_shape();

	if (!first_shape)
		first_shape = make_shape();
	said += typeid(*other) == typeid(*first_shape) ? " same" : " different";
	said += dynamic_cast<square *>(other) ? " square" : " none";
	named *by_name = dynamic_cast<named *>(first_shape);

	said += " " + std::to_string(by_name->name(what)) + " " + std::to_string(first_shape->area()) + " " + std::to_string(other->area());
	delete other;
}

struct counted {
	int value;

	counted() : value(40) { say('G', 0); }
};

template <typename T> struct shared {
	static T &value()
	{
		static T it = 7;

		return it;
	}
};

PATCHED static void statics(int)
{
	static counted once;
	static int plain = 5;

	say('g', V);
	once.value += V;
	plain++;
	said += " " + std::to_string(once.value) + " " + std::to_string(plain) + " " + std::to_string(shared<int>::value()++);
}

PATCHED static void casts(int what)
{
	special_failure special(what);
	failure *general = what > 2 ? &special : nullptr;

	say('d', V);
	said += general && dynamic_cast<special_failure *>(general) ? " yes" : " no";
	said += typeid(special) == typeid(special_failure) && V ? " equal" : " unequal";
}

static void catch_and_tell(int what)
{
	said += " = " + std::to_string(catcher(what));
}

static void pass_through(int what)
{
	through(thrower, what);
}

int main()
{
	static const struct {
		const char *name;
		void (*function)(int);
	} experiments[] = {
		{ "throw", thrower }, { "catch", catch_and_tell }, { "through", pass_through }, { "rethrow", rethrower },
		{ "keep", keep }, { "kept", throw_kept }, { "shapes", shapes }, { "statics", statics }, { "casts", casts },
		{ "promise", promises }, { "tables", tables_only },
	};
	char line[64], name[32];
	int what;

	std::set_terminate([] {
		std::printf("%s terminated\n", said.c_str());
		std::fflush(stdout);
		std::_Exit(3);
	});
	std::puts("ready");
	std::fflush(stdout);
	while (std::fgets(line, sizeof(line), stdin) && std::sscanf(line, "%31s %d", name, &what) == 2) {
		said.clear();
		for (const auto &experiment : experiments)
			if (!std::strcmp(experiment.name, name))
				outermost(experiment.function, what);
		std::puts(said.c_str());
		std::fflush(stdout);
	}
	return 0;
}
