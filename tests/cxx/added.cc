/* added.cc: a number per line on standard input, an answer per line. V is 1 or 2, the build: the second one makes objects of a class that the first one does
 * not have, for odd numbers, and keeps the last twenty, which go in either build. KIND says what class; with NEWERR there is a new exception, too. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <vector>

#ifdef __clang__
#define APART __attribute__((noinline))
#else
#define APART __attribute__((noipa))
#endif

struct base {
	long value = 1;

	virtual ~base() {}
	virtual long number(long n) { return n; }
};

struct failure : std::runtime_error {
	using runtime_error::runtime_error;
	virtual int code() const { return 1; }
};

struct other {
	long weight = 9;

	virtual ~other() {}
	virtual long heavy(long n) { return n * 7; }
};

#if KIND == 1	/* a virtual base */
struct derived : virtual base {
	long number(long n) override { return n * 2 + value; }
};
#elif KIND == 2	/* nobody else's */
namespace {
struct derived : base {
	long number(long n) override { return n * 2 + value; }
};
}
#elif KIND == 3	/* made of a template */
template <typename T> struct made : base {
	T more = 5;

	long number(long n) override { return n * 2 + value + more; }
	virtual T get() { return more; }
};
typedef made<short> derived;
#elif KIND == 4	/* two bases */
struct derived : base, other {
	long number(long n) override { return n * 2 + value + weight; }
	long heavy(long n) override { return n * 8 + weight; }
};
#else	/* with another one inside */
struct derived final : base {
	long number(long n) override
	{
		struct local : base {
			long number(long n) override { return 3 * n; }
		};
		std::unique_ptr<base> inner(new local);

		return inner->number(n) + value;
	}
};
#endif

#ifdef NEWERR
struct second_failure : failure {
	using failure::failure;
	int code() const override { return 22; }
};
#endif

static std::vector<base *> kept;

APART base *make(long n)
{
#if V == 2
	if (n & 1)
		return new derived;
#endif
	return n < 0 ? nullptr : new base;
}

APART long check(long n)
{
#if V == 2 && defined(NEWERR)
	if (n == 3)
		throw second_failure("three");
#endif
	if (n == 4)
		throw failure("four");
	return n ^ (V * 16);
}

APART long answer(long n)
{
	long result = 0;

	try {
		result = check(n);
#if V == 2 && defined(NEWERR)
	} catch (const second_failure &e) {
		result = 5000 + e.code();
#endif
	} catch (const failure &e) {
		result = 100 + e.code() + (long)strlen(e.what()) + (strstr(typeid(e).name(), "failure") != nullptr);
	}
	base *object = make(n);

	kept.push_back(object);
	if (kept.size() > 20) {
		delete kept.front();
		kept.erase(kept.begin());
	}
	result = result * 1000 + object->number(n);
	if (other *heavy = dynamic_cast<other *>(object))
		result += heavy->heavy(n);
	return result;
}

int main()
{
	char line[64];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		printf("%ld\n", answer(atol(line)));
		fflush(stdout);
	}
	return 0;
}
