/*
 * A plugin for Mosquitto 2 that needs no table of keys: identity in, key out (SP 800-108r1 KDF in counter mode with
 * AES-128-CMAC, label `psk`, or `psk13` under TLS 1.3, context = the identity; with an epoch, a leaf of the tree of label
 * `psk/tree`). It holds a client to identity and topics, reads the list of who is denied again on SIGHUP, and disconnects them.
 * Mosquitto asks no plugin at CONNECT where `use_identity_as_username` is set, so it must not be set: the identity is
 * noted by connection at the handshake and becomes the user name at CONNECT. A resumed TLS session has none and is refused.
 * The master: a file of mode 0600, a systemd credential, or a key in a PKCS#11 token; never in the configuration.
 * Leaves out: the two older schemes of derivation, both versions of TLS in one broker (RFC 9257), quotas that Mosquitto has not.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <p11-kit/pkcs11.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_LENGTH 16     /* bytes: AES-128 */
#define IDENTITY_MOST 64  /* characters */
#define BUCKETS 65536     /* of the table of connections: short chains up to some 100,000 devices */
#define KEEP_ALIVE_MOST 1200 /* seconds */
#define EX_DATA 16       /* places of a TLS connection where Mosquitto's pointer to the client may be */
#define UNUSED __attribute__((unused))
#define COMPLAIN(...) mosquitto_log_printf(MOSQ_LOG_ERR, "psk_plugin: " __VA_ARGS__)

/* An identity in its parts: v<key version>.<product>.<serial>. No hyphen in the product: it ends it in the client id. */
struct identity {
	long version;
	char product[IDENTITY_MOST], serial[IDENTITY_MOST];
};

/* What the list says: key version n (n - 1 is let in as well), and, in order, who is denied (`d` and the identity) and who
 * may use every topic (`o` and the identity). */
struct list {
	long version;
	char **text;
	size_t count;
};

/* A connection whose handshake has begun: until its TLS is freed. */
struct connection {
	const struct mosquitto *client;
	struct connection *next;
	char identity[IDENTITY_MOST + 1];
};

static struct {
	const char *label; /* of keys without an epoch: psk where TLS 1.2 is spoken, psk13 where 1.3 is */
	unsigned char (*masters)[KEY_LENGTH]; /* one that nobody has, and the fleet's: a page that is never swapped or dumped */
	const char *where[4]; /* the token's module, its label, the key's, and the PIN's file; no module: the fleet's master is above */
	CK_FUNCTION_LIST_PTR token; /* NULL: it does not open */
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
	time_t complained; /* of the token, at most once a second; 0: it can be used */
	const char *list_file;
	int tls_index; /* where OpenSSL knows on_tls_free by; 0: not yet */
	struct list list;
	struct connection *connections[BUCKETS];
} plugin;

static bool parse_identity(const char *text, struct identity *identity) {
	char digits[6];
	int end = 0;
	if (strlen(text) > IDENTITY_MOST) return false;
	if (sscanf(text, "v%5[0-9].%63[^./+#: -].%63[^./+#: ]%n", digits, identity->product, identity->serial, &end) != 3) return false;
	for (const char *at = text; *at; at++)
		if (*at < '!' || *at > '~') return false;
	identity->version = atol(digits);
	return !text[end] && digits[0] != '0' && identity->product[0] != '$';
}

static int compare(const void *a, const void *b) {
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool holds(const struct list *list, char what, const char *identity) {
	char text[IDENTITY_MOST + 2] = {what}, *key = text;
	strcpy(text + 1, identity);
	return list->count && bsearch(&key, list->text, list->count, sizeof(char *), compare);
}

static bool append(struct list *list, char what, const char *identity) {
	char **longer = realloc(list->text, (list->count + 1) * sizeof(char *)), *text = malloc(strlen(identity) + 2);
	if (longer) list->text = longer;
	if (!longer || !text) return free(text), false;
	*text = what;
	strcpy(text + 1, identity);
	list->text[list->count++] = text;
	return true;
}

static void free_list(struct list *list) {
	for (size_t i = 0; i < list->count; i++) free(list->text[i]);
	free(list->text);
	*list = (struct list){0};
}

/* Read the list: `key-version N`, `operator IDENTITY`, and an identity a line; # begins a comment. Bad: a sentence, false. */
static bool read_list(const char *path, struct list *list) {
	char line[256];
	int number = 0;
	bool good = true;
	*list = (struct list){.version = 1};
	if (!path) return true;
	FILE *file = fopen(path, "re");
	if (!file) return COMPLAIN("cannot read the list %s: %s.", path, strerror(errno)), false;
	while (good && fgets(line, sizeof line, file)) {
		struct identity identity;
		char word[sizeof line], name[sizeof line], more[2];
		int words = sscanf(line, "%255s %255s %1s", word, name, more);
		number++;
		good = strchr(line, '\n') || feof(file);
		if (!good || words < 1 || word[0] == '#') continue;
		if (words == 2 && !strcmp(word, "key-version"))
			good = strspn(name, "0123456789") == strlen(name) && strlen(name) <= 5 && (list->version = atol(name)) > 0;
		else if (words == 2 && !strcmp(word, "operator"))
			good = parse_identity(name, &identity) && append(list, 'o', name);
		else
			good = words == 1 && parse_identity(word, &identity) && append(list, 'd', word);
	}
	good = good && !ferror(file);
	fclose(file);
	if (!good) COMPLAIN("%s, line %d is neither an identity nor `key-version N` nor `operator IDENTITY`.", path, number), free_list(list);
	if (list->count) qsort(list->text, list->count, sizeof(char *), compare);
	return good;
}

/* Whether an identity is let in now. */
static bool is_known(const char *text, struct identity *identity) {
	return parse_identity(text, identity) && !holds(&plugin.list, 'd', text) &&
	       (identity->version == plugin.list.version || identity->version == plugin.list.version - 1);
}

/* Derive a key (SP 800-108r1): CMAC over [1]_32 || label || 0x00 || context || [128]_32, under a master, or under that of the token: NULL. */
static bool derive(const unsigned char *master, const char *label, const char *context, unsigned char *key) {
	unsigned char input[4 + sizeof "psk/tree" + IDENTITY_MOST + 4] = {0, 0, 0, 1};
	CK_MECHANISM cmac = {CKM_AES_CMAC, NULL, 0};
	CK_ULONG length = KEY_LENGTH;
	size_t at = 4 + strlen(label) + 1, more = strlen(context);
	memcpy(input + 4, label, at - 4);
	memcpy(mempcpy(input + at, context, more), (unsigned char[]){0, 0, 0, KEY_LENGTH * 8}, 4);
	if (master) return EVP_Q_mac(NULL, "CMAC", NULL, "AES-128-CBC", NULL, master, KEY_LENGTH, input, at + more + 4, key, KEY_LENGTH, NULL);
	CK_RV rv = plugin.token ? plugin.token->C_SignInit(plugin.session, &cmac, plugin.key) : CKR_TOKEN_NOT_PRESENT;
	if (rv == CKR_OK) rv = plugin.token->C_Sign(plugin.session, input, at + more + 4, key, &length);
	if (rv == CKR_OK && length == KEY_LENGTH) return true;
	if (time(NULL) != plugin.complained) COMPLAIN("the token cannot be used (0x%lx): everyone is refused until it is back and SIGHUP says so.", rv);
	plugin.complained = time(NULL);
	return false;
}

/* Cut the epoch off what a device of the profile `epochs` says, `.e` and hexadecimal digits without a zero before them; -1: there is none. */
static long cut_epoch(char *said) {
	char digits[7];
	int identity = 0, end = 0;
	if (sscanf(said, "%*[^.].%*[^.].%*[^.]%n.e%6[0-9a-f]%n", &identity, digits, &end) != 1 || said[end] || (*digits == '0' && digits[1])) return -1;
	said[identity] = 0;
	return strtol(digits, NULL, 16);
}

/* Go from the root of a device's tree, 24 levels, to the leaf of an epoch, its key: a node's child is AES-128 under it of bytes 00 or 01. */
static bool leaf(unsigned char *node, long epoch) {
	EVP_CIPHER_CTX *aes = EVP_CIPHER_CTX_new();
	unsigned char side[KEY_LENGTH];
	bool good = aes && EVP_EncryptInit_ex(aes, EVP_aes_128_ecb(), NULL, NULL, NULL);
	for (int level = 24; good && level--;) {
		memset(side, epoch >> level & 1, KEY_LENGTH);
		good = EVP_EncryptInit_ex(aes, NULL, NULL, node, NULL) && EVP_Cipher(aes, node, side, KEY_LENGTH) > 0;
	}
	EVP_CIPHER_CTX_free(aes);
	return good;
}

static struct connection **find(const struct mosquitto *client) {
	struct connection **at = &plugin.connections[((uintptr_t)client >> 6) % BUCKETS];
	while (*at && (*at)->client != client) at = &(*at)->next;
	return at;
}

static void forget(const struct mosquitto *client) {
	struct connection **at = find(client), *gone = *at;
	if (gone) *at = gone->next;
	free(gone);
}

/* MOSQ_EVT_PSK_KEY: always two derivations, the device's key and nobody's, and then one of them without a branch: known or
 * not, denied or not, the work is the same, and the alert is that of a wrong key (RFC 4279, 2; RFC 7925, 6). */
static int on_psk_key(UNUSED int event, void *data, UNUSED void *user) {
	static const char hex[] = "0123456789abcdef";
	struct mosquitto_evt_psk_key *asked = data;
	struct identity identity;
	struct connection *connection = calloc(1, sizeof *connection);
	unsigned char keys[2][KEY_LENGTH] = {0};
	char context[IDENTITY_MOST + 1] = "v1.nobody.0"; /* whose key is derived for what is no identity */
	if (strlen(asked->identity) <= IDENTITY_MOST) strcpy(context, asked->identity);
	long epoch = cut_epoch(context);
	const char *label = epoch < 0 ? plugin.label : "psk/tree"; /* a tree is for TLS 1.2 alone */
	bool known = strlen(asked->identity) <= IDENTITY_MOST && (epoch < 0 || !plugin.label[3]) && is_known(context, &identity);
	bool derived = derive(*plugin.where ? NULL : plugin.masters[1], label, context, keys[1]) && (epoch < 0 || leaf(keys[1], epoch));
	bool good = connection && derive(plugin.masters[0], label, context, keys[0]) && asked->max_key_len >= 2 * KEY_LENGTH;
	unsigned char mask = (unsigned char)-(known && derived);
	for (size_t i = 0; i < KEY_LENGTH; i++) {
		unsigned char byte = (keys[1][i] & mask) | (keys[0][i] & (unsigned char)~mask);
		if (good) asked->key[2 * i] = hex[byte >> 4], asked->key[2 * i + 1] = hex[byte & 15];
	}
	OPENSSL_cleanse(keys, sizeof keys);
	if (!good) return free(connection), MOSQ_ERR_AUTH;
	asked->key[2 * KEY_LENGTH] = 0;
	forget(asked->client);
	connection->client = asked->client;
	memcpy(connection->identity, context, strlen(context));
	*find(asked->client) = connection;
	return MOSQ_ERR_SUCCESS;
}

/* MOSQ_EVT_BASIC_AUTH, at CONNECT and again for all at SIGHUP: still known, and under no other name (RFC 9257, 4). */
static int on_connect(UNUSED int event, void *data, UNUSED void *user) {
	struct mosquitto_evt_basic_auth *asked = data;
	struct connection *connection = *find(asked->client);
	struct identity identity;
	const char *id = mosquitto_client_id(asked->client), *name = mosquitto_client_username(asked->client);
	if (!connection || !id || !is_known(connection->identity, &identity)) return MOSQ_ERR_AUTH;
	size_t product = strlen(identity.product);
	bool same = !strncmp(id, identity.product, product) && id[product] == '-' && !strcmp(id + product + 1, identity.serial);
	/* A session that stays when its client has gone holds memory. Mosquitto's max_keepalive is for MQTT 5 alone. */
	int keep_alive = mosquitto_client_keepalive(asked->client);
	bool ends = mosquitto_client_clean_session(asked->client) && keep_alive > 0 && keep_alive <= KEEP_ALIVE_MOST;
	if (!same || !ends) return MOSQ_ERR_AUTH;
	if (name && !strcmp(name, connection->identity)) return MOSQ_ERR_SUCCESS;
	return mosquitto_set_username(asked->client, connection->identity);
}

/* Whether `topic` begins with `first`/`second`/ and goes on; returns what follows, or NULL. */
static const char *below(const char *topic, const char *first, const char *second) {
	size_t a = strlen(first), b = strlen(second);
	if (strncmp(topic, first, a) || topic[a] != '/' || strncmp(topic + a + 1, second, b) || topic[a + 1 + b] != '/')
		return NULL;
	return topic[a + 1 + b + 1] ? topic + a + 1 + b + 1 : NULL;
}

/* MOSQ_EVT_ACL_CHECK: its own topics but not its own manifest, the images of its product to read; operators: all. */
static int on_topic(UNUSED int event, void *data, UNUSED void *user) {
	struct mosquitto_evt_acl_check *asked = data;
	const char *name = mosquitto_client_username(asked->client);
	struct identity identity;
	if (!name || !parse_identity(name, &identity)) return MOSQ_ERR_ACL_DENIED;
	if (asked->access == MOSQ_ACL_UNSUBSCRIBE || holds(&plugin.list, 'o', name)) return MOSQ_ERR_SUCCESS;
	const char *own = below(asked->topic, identity.product, identity.serial);
	bool may = asked->access == MOSQ_ACL_WRITE ? own && strcmp(own, "ota") : own || below(asked->topic, "fw", identity.product);
	return may ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
}

/* A TLS connection is freed. A handshake that fails within Mosquitto's accept ends without an event, and its memory is the next client's. */
static void on_tls_free(UNUSED void *tls, UNUSED void *own, CRYPTO_EX_DATA *data, UNUSED int index, UNUSED long number, UNUSED void *user) {
	for (int i = 0; i < EX_DATA; i++) forget(CRYPTO_get_ex_data(data, i));
}

/* Read a file that no one else may read; at most `most` bytes, trailing newlines off. Returns the length, or -1 after a sentence. */
static ssize_t read_private(const char *path, const char *what, char *bytes, size_t most) {
	struct stat status;
	int file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 || fstat(file, &status) ? -1 : read(file, bytes, most);
	if (file >= 0) close(file);
	if (length < 0) return COMPLAIN("cannot read %s %s: %s.", what, path, strerror(errno)), -1;
	/* systemd shows a credential with mode 0440 or 0400, in a folder of the service's own. */
	if (status.st_mode & (getenv("CREDENTIALS_DIRECTORY") ? 0037 : 0077))
		return COMPLAIN("%s can be read by others than its owner; think of what is in it as known.", path), -1;
	if (length != KEY_LENGTH) while (length > 0 && strchr("\r\n", bytes[length - 1])) length--;
	return length;
}

/* Find the key by its label in the token of that label; one that could be taken out of it is in no custody. */
static bool open_token(void) {
	const char *module = plugin.where[0], *label = plugin.where[1], *object = plugin.where[2], *pin_file = plugin.where[3];
	CK_C_GetFunctionList functions = NULL;
	CK_SLOT_ID slots[64];
	CK_ULONG count = 64, found = 0, at = 0, class = CKO_SECRET_KEY;
	CK_TOKEN_INFO token;
	CK_BBOOL sensitive = CK_FALSE, extractable = CK_TRUE;
	CK_ATTRIBUTE name[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, (void *)object, strlen(object)}};
	CK_ATTRIBUTE kept[] = {{CKA_SENSITIVE, &sensitive, sizeof sensitive}, {CKA_EXTRACTABLE, &extractable, sizeof extractable}};
	char pin[256], padded[sizeof token.label + 1];
	ssize_t pin_length = read_private(pin_file, "the PIN", pin, sizeof pin);
	void *library = pin_length < 0 ? NULL : dlopen(module, RTLD_NOW);
	if (pin_length < 0) return false;
	if (plugin.token) plugin.token->C_Finalize(NULL), plugin.token = NULL;
	if (library) *(void **)&functions = dlsym(library, "C_GetFunctionList");
	if (!functions || functions(&plugin.token) != CKR_OK || plugin.token->C_Initialize(NULL) != CKR_OK)
		return plugin.token = NULL, OPENSSL_cleanse(pin, sizeof pin), COMPLAIN("the PKCS#11 module %s cannot be used.", module), false;
	CK_FUNCTION_LIST_PTR call = plugin.token;
	snprintf(padded, sizeof padded, "%-*s", (int)sizeof token.label, label);
	CK_RV rv = call->C_GetSlotList(CK_TRUE, slots, &count);
	for (bool here = false; rv == CKR_OK && !here; at += !here) {
		if (at == count) rv = CKR_TOKEN_NOT_PRESENT;
		else here = call->C_GetTokenInfo(slots[at], &token) == CKR_OK && !memcmp(token.label, padded, sizeof token.label);
	}
	if (rv == CKR_OK) rv = call->C_OpenSession(slots[at], CKF_SERIAL_SESSION, NULL, NULL, &plugin.session);
	if (rv == CKR_OK) rv = call->C_Login(plugin.session, CKU_USER, (CK_UTF8CHAR_PTR)pin, (CK_ULONG)pin_length);
	OPENSSL_cleanse(pin, sizeof pin);
	if (rv == CKR_OK) rv = call->C_FindObjectsInit(plugin.session, name, 2);
	if (rv == CKR_OK) rv = call->C_FindObjects(plugin.session, &plugin.key, 1, &found);
	if (rv == CKR_OK) rv = call->C_FindObjectsFinal(plugin.session);
	if (rv == CKR_OK) rv = !found ? CKR_KEY_HANDLE_INVALID : call->C_GetAttributeValue(plugin.session, plugin.key, kept, 2);
	if (rv == CKR_OK && sensitive && !extractable) return true;
	COMPLAIN("the token %s with the key %s: %s (0x%lx).", label, object, rv == CKR_OK ? "the key can be taken out" : "does not open", rv);
	return call->C_Finalize(NULL), plugin.token = NULL, false;
}

/* MOSQ_EVT_RELOAD: a token that was pulled is opened again; the list is replaced, or stays as it was where the new one is bad. Who is denied now goes at once. */
static int on_reload(UNUSED int event, UNUSED void *data, UNUSED void *user) {
	struct list fresh, gone = {0};
	struct identity identity;
	if (plugin.complained && open_token()) plugin.complained = 0;
	if (!read_list(plugin.list_file, &fresh)) return COMPLAIN("the list stays as it was."), MOSQ_ERR_PLUGIN_DEFER;
	free_list(&plugin.list);
	plugin.list = fresh;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct connection *each = plugin.connections[i]; each; each = each->next) {
			const char *id = mosquitto_client_id(each->client); /* none yet: it is refused at CONNECT */
			if (id && !is_known(each->identity, &identity)) append(&gone, 'd', id);
		}
	for (size_t i = 0; i < gone.count; i++) /* only now: each takes itself off the table */
		mosquitto_kick_client_by_clientid(gone.text[i] + 1, true);
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "psk_plugin: key version %ld, %zu disconnected.", plugin.list.version, gone.count);
	free_list(&gone);
	return MOSQ_ERR_PLUGIN_DEFER; /* other plugins are to be told as well */
}

static bool read_master(const char *path) {
	char bytes[66];
	unsigned char *master = plugin.masters[1];
	ssize_t length = read_private(path, "the master", bytes, sizeof bytes);
	size_t decoded = 0;
	if (length == KEY_LENGTH) memcpy(master, bytes, decoded = KEY_LENGTH);
	if (length == 2 * KEY_LENGTH) bytes[length] = 0, OPENSSL_hexstr2buf_ex(master, KEY_LENGTH, &decoded, bytes, '\0');
	OPENSSL_cleanse(bytes, sizeof bytes);
	if (length >= 0 && decoded != KEY_LENGTH) COMPLAIN("%s holds neither 16 bytes nor 32 hex digits.", path);
	for (size_t i = 1; decoded == KEY_LENGTH && master[i] == master[0]; i++)
		if (i == KEY_LENGTH - 1) return COMPLAIN("the master in %s is one byte repeated.", path), false;
	return decoded == KEY_LENGTH;
}

int mosquitto_plugin_version(UNUSED int count, UNUSED const int *versions) {
	return MOSQ_PLUGIN_VERSION;
}

int mosquitto_plugin_cleanup(UNUSED void *user, UNUSED struct mosquitto_opt *options, UNUSED int count) {
	if (plugin.token) plugin.token->C_Finalize(NULL);
	if (plugin.tls_index) CRYPTO_free_ex_index(CRYPTO_EX_INDEX_SSL, plugin.tls_index);
	if (plugin.masters) OPENSSL_cleanse(plugin.masters, 2 * KEY_LENGTH);
	free_list(&plugin.list);
	for (size_t i = 0; i < BUCKETS; i++) while (plugin.connections[i]) forget(plugin.connections[i]->client);
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *id, UNUSED void **user, struct mosquitto_opt *options, int count) {
	enum { MASTER, CREDENTIAL, LIST, MODULE, TOKEN, KEY, PIN, OPTIONS };
	static const char *const names[OPTIONS] = {"master", "credential", "list", "pkcs11_module", "pkcs11_token", "pkcs11_key", "pkcs11_pin"};
	static const struct { int event; MOSQ_FUNC_generic_callback call; } events[] = {
		{MOSQ_EVT_PSK_KEY, on_psk_key}, {MOSQ_EVT_BASIC_AUTH, on_connect}, {MOSQ_EVT_ACL_CHECK, on_topic}, {MOSQ_EVT_RELOAD, on_reload}};
	const char *value[OPTIONS] = {0}, *folder = getenv("CREDENTIALS_DIRECTORY");
	char path[4096];
	/* Mosquitto's tls_version lets TLS 1.3 in whatever it says; OpenSSL's own configuration keeps it out, or 1.2. */
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	if (tls) plugin.label = SSL_CTX_get_min_proto_version(tls) == TLS1_3_VERSION ? "psk13" : SSL_CTX_get_max_proto_version(tls) == TLS1_2_VERSION ? "psk" : NULL;
	SSL_CTX_free(tls);
	if (!plugin.label)
		return COMPLAIN("no key may serve TLS 1.2 and 1.3: start with OPENSSL_CONF=.../openssl.cnf, which says MaxProtocol, or openssl_tls13.cnf."), MOSQ_ERR_INVAL;
	if (plugin.masters) return COMPLAIN("one listener has it already; it serves one."), MOSQ_ERR_INVAL;
	for (int i = 0; i < count; i++) {
		int at = 0;
		while (at < OPTIONS && strcmp(options[i].key, names[at])) at++;
		if (at == OPTIONS) return COMPLAIN("plugin_opt_%s is no option of it.", options[i].key), MOSQ_ERR_INVAL;
		value[at] = options[i].value;
	}
	if (!!value[MASTER] + !!value[CREDENTIAL] + !!value[MODULE] != 1)
		return COMPLAIN("exactly one of plugin_opt_master, plugin_opt_credential and plugin_opt_pkcs11_module says where the master is."), MOSQ_ERR_INVAL;
	if (value[MODULE] && !(value[TOKEN] && value[KEY] && value[PIN]))
		return COMPLAIN("a token needs plugin_opt_pkcs11_token, _key and _pin as well."), MOSQ_ERR_INVAL;
	if (value[CREDENTIAL] && !folder) return COMPLAIN("systemd has given no credentials to this service."), MOSQ_ERR_INVAL;
	if (value[CREDENTIAL]) snprintf(path, sizeof path, "%s/%s", folder, value[CREDENTIAL]), value[MASTER] = path;
	void *page = mmap(NULL, 2 * KEY_LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	plugin.masters = page == MAP_FAILED || mlock(page, 2 * KEY_LENGTH) || madvise(page, 2 * KEY_LENGTH, MADV_DONTDUMP) ? NULL : page;
	plugin.list_file = value[LIST];
	if (!plugin.masters || RAND_bytes(plugin.masters[0], KEY_LENGTH) != 1)
		return COMPLAIN("no memory that stays (LimitMEMLOCK), or no randomness."), MOSQ_ERR_UNKNOWN;
	memcpy(plugin.where, value + MODULE, sizeof plugin.where);
	if (!(value[MODULE] ? open_token() : read_master(value[MASTER])) || !read_list(value[LIST], &plugin.list)) return MOSQ_ERR_INVAL;
	if ((plugin.tls_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_tls_free)) <= 0) return MOSQ_ERR_UNKNOWN;
	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		if (mosquitto_callback_register(id, events[i].event, events[i].call, NULL, NULL)) return MOSQ_ERR_UNKNOWN;
	return MOSQ_ERR_SUCCESS;
}
