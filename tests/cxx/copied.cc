/* Code that refers to tables of the C++ library directly: the program has copies of them, which the dynamic linker fills. */
#include <cstdio>
#include <cstdlib>
#include <sstream>

static __attribute__((noinline)) std::string text(long n)
{
	std::stringstream stream;

	stream << (V == 1 ? "one " : "two: ") << n * V;
	return stream.str();
}

int main()
{
	char line[64];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		puts(text(atol(line)).c_str());
		fflush(stdout);
	}
	return 0;
}
