# ESP by scapy's IPsec layer, for tests (scapy.ts): a JSON object a line in, one out.
import json
import sys

from scapy.config import conf
from scapy.layers.inet import IP, UDP
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Raw, raw

conf.verb = 0


def association(sa):
    algorithms = (
        {"crypt_algo": "AES-CCM", "crypt_key": bytes.fromhex(sa["key"] + sa["beside"])}
        if sa["transform"] == "ccm"
        else {
            "crypt_algo": "AES-CBC",
            "crypt_key": bytes.fromhex(sa["key"]),
            "auth_algo": "HMAC-SHA1-96",
            "auth_key": bytes.fromhex(sa["beside"]),
        }
    )
    return SecurityAssociation(ESP, spi=sa["spi"], tunnel_header=IP(src="192.0.2.1", dst="192.0.2.2"), **algorithms)


def seal(request):
    inner = IP(src=request["src"], dst=request["dst"]) / UDP(sport=request["port"], dport=request["port"])
    inner /= Raw(bytes.fromhex(request["datagram"]))
    packet = association(request["sa"]).encrypt(IP(raw(inner)), seq_num=request["sequence"])
    return {"packet": raw(packet[ESP]).hex()}


def open_(request):
    outer = IP(raw(IP(src="192.0.2.1", dst="192.0.2.2") / ESP(bytes.fromhex(request["packet"]))))
    sequence = outer[ESP].seq
    inner = association(request["sa"]).decrypt(outer)
    said = inner.chksum
    del inner.chksum
    return {
        "sequence": sequence,
        "src": inner.src,
        "dst": inner.dst,
        "sport": inner[UDP].sport,
        "dport": inner[UDP].dport,
        "isSummed": IP(raw(inner)).chksum == said,
        "length": inner.len,
        "datagram": raw(inner[UDP].payload).hex(),
    }


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"seal": seal, "open": open_}[request["do"]](request)
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
