// A Go program that calls called.c, and is called back by it. Speaks as tests/live/victim.c does.
package main

/*
int answer(int number);
int version(void);
int inside(int (*back)(int), int number);
int goBack(int number);
static int go_inside(int number) { return inside(goBack, number); }
*/
import "C"

import (
	"bufio"
	"fmt"
	"os"
	"sync/atomic"
)

var errors int32
var parked, leave = make(chan bool), make(chan bool)
var sink []byte

//export goBack
func goBack(number C.int) C.int {
	close(parked)
	<-leave
	return number
}

func fits(number, result C.int) {
	if result != number && result != 2*number {
		atomic.AddInt32(&errors, 1)
	}
}

func calculate() {
	for number := 1; ; number = number%100 + 1 {
		sink = make([]byte, number)
	}
}

func call() {
	for number := C.int(1); ; number = number%100 + 1 {
		fits(number, C.answer(number))
	}
}

func main() {
	go calculate()
	fmt.Println("ready")
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		switch input.Text() {
		case "busy":
			go call()
		case "park":
			go func() { fits(0, C.go_inside(5)-C.answer(5)-5) }()
			<-parked
		case "unpark":
			close(leave)
		}
		fmt.Println(C.version(), C.answer(21), atomic.LoadInt32(&errors))
	}
}
