/** A Java program that calls called.c from its threads, and is called back by it. Speaks as tests/live/victim.c does. */
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;

class Host {
	static final AtomicInteger errors = new AtomicInteger();
	static final CountDownLatch parked = new CountDownLatch(1), leave = new CountDownLatch(1);
	static volatile Object collected;

	static native int answer(int number);
	static native int version();
	static native int inside(int number);

	static int back(int number) throws InterruptedException {
		parked.countDown();
		leave.await();
		return number;
	}

	static void fits(int number, int result) {
		if (result != number && result != 2 * number)
			errors.incrementAndGet();
	}

	static void calculate() {
		for (int number = 1; ; number = number % 100 + 1)
			collected = new int[number];
	}

	static void call() {
		for (int number = 1; ; number = number % 100 + 1)
			fits(number, answer(number));
	}

	static Thread start(Runnable run) {
		Thread thread = new Thread(run);
		thread.setDaemon(true);
		thread.start();
		return thread;
	}

	public static void main(String[] arguments) throws Exception {
		System.load(arguments[0]);
		start(Host::calculate);
		start(Host::calculate);
		System.out.println("ready");
		BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
		for (String line; (line = input.readLine()) != null; ) {
			if (line.equals("busy"))
				start(Host::call);
			if (line.equals("park")) {
				start(() -> fits(0, inside(5) - answer(5) - 5));
				parked.await();
			}
			if (line.equals("unpark"))
				leave.countDown();
			/* In a thread that ends: what calls leave on a stack stays there while a thread waits in the virtual machine's own frames. */
			start(() -> System.out.println(version() + " " + answer(21) + " " + errors)).join();
		}
		System.exit(0);
	}
}
