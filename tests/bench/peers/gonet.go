// SPDX-License-Identifier: MIT

// gonet: an echo by Go's net: a goroutine for each connection.
//
//	gonet copy|loop [WORKERS]
//
// "copy" is io.Copy, by which the runtime uses splice(2) between sockets;
// "loop" reads into a buffer of its own and writes it.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
)

const bufferSize = 64 * 1024

func loop(c net.Conn) {
	buffer := make([]byte, bufferSize)
	for {
		n, err := c.Read(buffer)
		if n > 0 {
			if _, err := c.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func serve(c net.Conn, splice bool) {
	defer c.Close()
	if splice {
		io.Copy(c, c)
	} else {
		loop(c)
	}
}

func main() {
	if len(os.Args) > 2 {
		workers, _ := strconv.Atoi(os.Args[2])
		runtime.GOMAXPROCS(workers)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		c, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go serve(c, len(os.Args) > 1 && os.Args[1] == "copy")
	}
}
