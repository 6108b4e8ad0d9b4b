/*
 * What a gateway is measured against: the least that a server in C can do for a device. TLS 1.2 with pre-shared keys by
 * OpenSSL, two derivations a handshake as everywhere here, CONNACK for the first packet, PINGRESP for each further one.
 * One thread, epoll, no limit of any kind: it is no gateway. `reference_server PORT`, the master as 32 hex digits on stdin.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY_LENGTH 16
static unsigned char master[KEY_LENGTH], nobodys[KEY_LENGTH];
static EVP_KDF *kbkdf;

struct device {
	int socket, connected;
	SSL *ssl;
};

static void derive(const unsigned char *from, const char *identity, unsigned char *key) {
	EVP_KDF_CTX *context = EVP_KDF_CTX_new(kbkdf);
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MODE, "COUNTER", 0),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MAC, "CMAC", 0),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_CIPHER, "AES-128-CBC", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)from, KEY_LENGTH),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, "psk", 3),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)identity, strlen(identity)),
		OSSL_PARAM_construct_end(),
	};
	if (EVP_KDF_derive(context, key, KEY_LENGTH, parameters) != 1) abort();
	EVP_KDF_CTX_free(context);
}

static unsigned int on_psk(SSL *ssl, const char *identity, unsigned char *key, unsigned int most) {
	unsigned char other[KEY_LENGTH];
	(void)ssl;
	if (most < KEY_LENGTH) return 0;
	derive(master, identity, key);
	derive(nobodys, identity, other);
	return KEY_LENGTH;
}

static void end(struct device *device) {
	SSL_free(device->ssl);
	close(device->socket);
	free(device);
}

static void serve(struct device *device) {
	unsigned char bytes[4096];
	if (!SSL_is_init_finished(device->ssl)) {
		int rc = SSL_accept(device->ssl);
		if (rc == 1) goto read;
		int error = SSL_get_error(device->ssl, rc);
		if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) end(device);
		return;
	}
read:
	for (;;) {
		int length = SSL_read(device->ssl, bytes, sizeof bytes);
		if (length <= 0) {
			if (SSL_get_error(device->ssl, length) != SSL_ERROR_WANT_READ) end(device);
			return;
		}
		if (device->connected++) SSL_write(device->ssl, "\xd0\x00", 2);
		else SSL_write(device->ssl, "\x20\x02\x00\x00", 4);
	}
}

int main(int count, char **arguments) {
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event events[256];
	char hex[2 * KEY_LENGTH + 2];
	size_t length;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1, poll = epoll_create1(0);
	if (count != 2 || !fgets(hex, sizeof hex, stdin)) return 2;
	hex[2 * KEY_LENGTH] = 0;
	if (OPENSSL_hexstr2buf_ex(master, KEY_LENGTH, &length, hex, '\0') != 1) return 2;
	signal(SIGPIPE, SIG_IGN);
	kbkdf = EVP_KDF_fetch(NULL, "KBKDF", NULL);
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_max_proto_version(tls, TLS1_2_VERSION);
	SSL_CTX_set_options(tls, SSL_OP_NO_TICKET);
	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
	if (SSL_CTX_set_cipher_list(tls, "PSK-AES128-CCM8:@SECLEVEL=0") != 1) return 2;
	SSL_CTX_set_psk_server_callback(tls, on_psk);
	address.sin_port = htons((uint16_t)atoi(arguments[1]));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) return 1;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		int ready = epoll_wait(poll, events, 256, -1);
		for (int i = 0; i < ready; i++) {
			if (events[i].data.ptr) {
				serve(events[i].data.ptr);
				continue;
			}
			int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
			struct device *device = socket < 0 ? NULL : calloc(1, sizeof *device);
			if (!device) continue;
			device->socket = socket;
			device->ssl = SSL_new(tls);
			SSL_set_fd(device->ssl, socket);
			event.data.ptr = device;
			epoll_ctl(poll, EPOLL_CTL_ADD, socket, &event);
		}
	}
}
