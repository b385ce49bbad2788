// A program for node that calls called.c from its main thread and workers, and is called back by it. Speaks as tests/live/victim.c does.
"use strict";
const { Worker, isMainThread, workerData } = require("worker_threads");
const library = require(isMainThread ? process.argv[2] : workerData.library);
const shared = new Int32Array(isMainThread ? new SharedArrayBuffer(12) : workerData.shared);	// errors, parked, leave

function fits(number, result) {
	if (result !== number && result !== 2 * number)
		Atomics.add(shared, 0, 1);
}

function wait(number) {
	Atomics.store(shared, 1, 1);
	Atomics.notify(shared, 1);
	Atomics.wait(shared, 2, 0);
	return number;
}

const work = {
	calculate() {
		for (let number = 1; ; number = number % 100 + 1)
			[number, String(number), { number }].map(String);
	},
	call() {
		for (let number = 1; ; number = number % 100 + 1)
			fits(number, library.answer(number));
	},
	park() {
		fits(0, library.inside(5, wait) - library.answer(5) - 5);
	},
};

if (!isMainThread) {
	work[workerData.what]();
} else {
	const start = (what) => new Worker(__filename, { workerData: { library: process.argv[2], shared: shared.buffer, what } });

	start("calculate");
	start("calculate");
	console.log("ready");
	require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
		if (line === "busy")
			start("call");
		if (line === "park") {
			start("park");
			Atomics.wait(shared, 1, 0, 5000);
		}
		if (line === "unpark") {
			Atomics.store(shared, 2, 1);
			Atomics.notify(shared, 2);
		}
		console.log(`${library.version()} ${library.answer(21)} ${shared[0]}`);
	}).on("close", () => process.exit(0));
}
