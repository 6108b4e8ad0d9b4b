# Everything that one does with this project, a word each; `make help` lists them by reader, from the comments below.
# Variables: T=part of a test's file name, BOARD=one board, PROFILE=another profile, E=an error code, A=arguments.

MAKEFLAGS += --no-print-directory
RUN := node --import tsx
TESTS = $(sort $(shell find boards firmware hal scripts -name '*$(T)*.test.ts'))

export BOARD PORT PROFILE

.DEFAULT_GOAL := all

##@ to look at it

start: node_modules ## a simulated device talks to the gateway, each message shown; A="--once", A="--ota", A="--help"
	npm start -s -- $(A)

simulate: node_modules ## the bundle on the simulated board, its console here
	npm run -s simulate

explain: node_modules ## what an error code means: E=532
	npm run -s explain -- $(E)

help: ## this list
	@sed -n -e 's/^##@ \(.*\)/@\1/p' -e 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '/^@/ { print "\n" substr($$0, 2); next } { printf "%-20s%s\n", $$1, $$2 }'

##@ one board at home

doctor: node_modules ## who is at PORT=, and whether the firmware will run there; its options: A="--help"
	npm run -s doctor -- $(if $(PORT),--port $(PORT)) $(A)

setup: node_modules ## one board at home, at PORT=, from bare to working: A="--ssid NAME --server HOST:8883"
	npm run -s setup -- $(if $(PORT),--port $(PORT)) $(A)

farm: node_modules ## N= simulated boards as serial ports, to try all of it without hardware
	npm run -s farm -- $(if $(N),--boards $(N)) $(A)

flash: node_modules ## write the firmware of BOARD= to the board at PORT=, and compare
	npm run -s flash

module: node_modules ## the module tls-psk of BOARD= for your own Espruino code: dist/<board>/tls-psk.js
	npm run -s module

console: node_modules ## the console of the device at PORT=; its options: A="--help"
	npm run -s console -- $(A)

##@ a product of your own

product: node_modules ## a product of your own: A="new ../my-product", check, test
	npm run -s product -- $(A)

bundle: node_modules ## dist/<board>/firmware.js for BOARD= or for every board
	npm run -s build

all-boards: node_modules ## the bundles of all boards
	BOARD= npm run -s build

all-profiles: node_modules ## the bundle of every profile for BOARD= or for every board that has room for it, and their bytes
	npm run -s all-profiles

debug: node_modules ## a readable bundle of BOARD= in dist/<board>/firmware.debug.js
	DEBUG=1 npm run -s build

size: node_modules ## bytes of each bundle by module, from the last build; without one it builds
	npm run -s size

measure: node_modules ## counters of a handshake beside the limits, bytes, variables; A=--profiles: every profile on the same work
	npm run -s measure -- $(A)

image: node_modules ## Storage of BOARD= as a file for a programmer: dist/<board>/storage.hex and .bin
	npm run -s image

discovery: node_modules ## Home Assistant finds devices: A="--product climate --serials FIRST..LAST"; A="--remove ..." takes it back
	npm run -s discovery -- $(A)

##@ factory bench

bench: node_modules ## the factory bench; its options: A="--help"
	npm run -s bench -- $(A)

ledger: node_modules ## the bench's ledger: A="verify FILE", report, head, show, reserve, merge, scrap
	npm run -s ledger -- $(A)

label: node_modules ## labels of serials: A="--product NAME --serials FIRST..LAST"
	npm run -s label -- $(A)

##@ keys and release

keys: node_modules ## the custody of root and masters: A="new --out FOLDER"
	npm run -s keys -- $(A)

derive: node_modules ## a throwaway key for one device, in dist/device; A="--help"
	npm run -s derive -- $(A)

##@ fleet operator

ota: node_modules ## updates over the air: A="build ...", sign, publish, status, rollout, stop
	npm run -s ota -- $(A)

##@ technician, service desk

console-page: node_modules ## the technicians' page for browsers: dist/console.html
	npm run -s console-page

unlock: node_modules ## the service desk: answer a challenge, A="--master FILE"
	npm run -s unlock -- $(A)

sheet: node_modules ## every command and error of the console on one sheet of paper: dist/technician.pdf
	npm run -s sheet

##@ server administrator

gateway: node_modules ## the server of a fleet, without a table of keys: A="--master FILE"
	npm run -s gateway -- $(A)

tunnel: node_modules ## the other end of devices under IPsec: A="--master FILE --devices FILE --counters FILE --to HOST:PORT"
	npm run -s tunnel -- $(A)

tickets: node_modules ## the ticket service of devices that command each other: A="--master FILE --broker HOST:PORT"
	npm run -s tickets -- $(A)

mosquitto-plugin: dist/mosquitto/psk_plugin.so ## Mosquitto's plugin that derives keys: dist/mosquitto/psk_plugin.so

##@ to change something here

all: check test bundle size ## check, test, bundle, size

check: node_modules ## types of both sides, lint, format
	npm run -s check

test: node_modules ## unit tests and real servers; T=record for the files with that in their name
	$(if $(TESTS),,$(error no test file has "$(T)" in its name))
	$(RUN) scripts/lib/test/run.ts $(TESTS)

watch: node_modules ## run the tests again at every change; T= as in test
	$(RUN) --watch --test --test-reporter=spec $(TESTS)

model: node_modules ## the tickets' protocol in Spin: what it finds, in it and in three that are wrong
	npm run -s model

test-nodes: node_modules ## all tests on Node 20, 22 and 24, each from its npm package: three times npm test
	for node in 20 22 24; do npx --yes --package node@$$node -- npm test || exit 1; done

powercuts: node_modules ## the power cut everywhere, twice: what the tests only sample; minutes
	npm run -s powercuts

screenshots: node_modules ## the pictures of bench and console page anew, from the real pages
	npm run -s screenshots

bench-report: node_modules ## eight simulated boards at once beside one: prints the ratio of the times
	npm run -s bench-report

rollout-report: node_modules ## a rollout to 100,000 light devices: to its end, and to its stop; prints time, memory, the stop
	npm run -s rollout-report -- $(A)

gateway-report: node_modules ## the gateway and Mosquitto's plugin beside a server in C: ratios, memory, gap, floods; minutes
	npm run -s gateway-report -- $(A)

PLUGIN := scripts/lib/gateway/mosquitto/psk_plugin.c
HARDENED := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -Wl,-z,relro,-z,now
dist/mosquitto/psk_plugin.so: $(PLUGIN)
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror $(HARDENED) -fPIC -shared -I/usr/include/p11-kit-1 -o $@ $< -lssl -lcrypto -ldl

node_modules:
	npm ci

# every target with a comment is a word, not a file
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*## .*/\1/p' $(firstword $(MAKEFILE_LIST)))
