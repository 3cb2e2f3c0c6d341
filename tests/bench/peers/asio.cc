/* SPDX-License-Identifier: MIT */
/*
 * asio: an echo by standalone Asio, after its example "async_tcp_echo_server":
 * a session reads some, writes it all, and reads again.
 */
#include <array>
#include <asio.hpp>
#include <memory>

#include "peer.h"

using asio::ip::tcp;

namespace
{

class session : public std::enable_shared_from_this<session>
{
      public:
	explicit session(tcp::socket socket) : socket(std::move(socket))
	{
	}

	void read()
	{
		auto self = shared_from_this();
		socket.async_read_some(asio::buffer(data),
				       [this, self](asio::error_code error, std::size_t size) {
					       if (!error)
						       write(size);
				       });
	}

      private:
	void write(std::size_t size)
	{
		auto self = shared_from_this();
		asio::async_write(socket, asio::buffer(data, size),
				  [this, self](asio::error_code error, std::size_t) {
					  if (!error)
						  read();
				  });
	}

	tcp::socket socket;
	std::array<char, PEER_BUFFER> data;
};

void accept(tcp::acceptor &acceptor)
{
	acceptor.async_accept([&](asio::error_code error, tcp::socket socket) {
		if (!error)
			std::make_shared<session>(std::move(socket))->read();
		accept(acceptor);
	});
}

} // namespace

int main(int argc, char *argv[])
{
	int fd = peer_listen(argc, argv, SOCK_NONBLOCK);
	asio::io_context context(1); // one thread: no locks
	tcp::acceptor acceptor(context, tcp::v4(), fd);

	accept(acceptor);
	context.run();
	return 0;
}
