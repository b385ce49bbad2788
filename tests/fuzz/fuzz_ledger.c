/*
 * A ledger from a hostile process. What is accepted is the same ledger once it has been written and read again.
 */
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "live/ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes = memory_copy(data, size), *encoded, *again;	/* of exactly this size, for the sanitizer */
	struct ledger ledger, copy;
	const char *why = NULL;
	size_t encoded_size, again_size;

	if (ledger_decode(bytes, size, &ledger, &why)) {
		encoded = ledger_encode(&ledger, &encoded_size);
		expect(ledger_decode(encoded, encoded_size, &copy, &why), "what is written can't be read");
		again = ledger_encode(&copy, &again_size);
		expect(again_size == encoded_size && !memcmp(again, encoded, again_size), "it is another one when it is read again");
		expect(ledger_redirected(&copy) <= copy.functions.count, "more functions are redirected than there are");
		ledger_free(&copy);
		free(encoded);
		free(again);
	} else {
		expect(why && *why, "a refusal has no reason");
	}
	ledger_free(&ledger);
	free(bytes);
	return 0;
}
