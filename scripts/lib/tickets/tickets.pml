/*
 * The tickets (firmware/README.md 15, firmware/peer/, service.ts) as a model for Spin. Whoever carries messages says whatever he has heard
 * or can make: so there are no channels, and who receives takes any message that can be said. He is also a device of his own, I, with its key,
 * and gets the key of each session when that is over. A and B are honest, ask and are asked, twice in all, in any order.
 *
 * Where it is right nothing here fails. Spin finds what is wrong with
 *   -DPROTOCOL_1978   the protocol as it was first, without the asked device's nonce: Denning and Sacco's replay
 *   -DNO_ROLE         a proof that does not say whose it is: a reflection
 *   -DNO_NAMES        boxes that authenticate nonces and no identities: a mix-up of who is who
 * and -DBOTH_END has it find that both askers come to their ends: it does not find nothing because nothing happens.
 *
 * Left out: the numbers of messages after the proofs, and breaking AES: a box opens under its key, its type and its context, or not at all.
 */
#define A 0
#define B 1
#define I 2
#define NOBODY 3

#define KEYS 3          /* session keys that the service makes, by their numbers */
#define RUNS 2          /* runs of each role; a nonce is its run's number */

/* What every box authenticates. */
typedef Context { byte na; byte nb; byte asker; byte asked };

Context wanted[RUNS];   /* REQUEST, by the run of the asker: in the clear */
bool isWanted[RUNS];
Context offered[RUNS];  /* NONCE, by the run of who was asked */
bool isOffered[RUNS];
Context issued[KEYS];   /* ANSWER and TICKET, by the key in them */
byte keys;              /* that are issued */
bool isKnown[KEYS];     /* the carrier has the key */
bool askerProof[KEYS];  /* message number 0 of the asker, of the asked */
bool askedProof[KEYS];
byte askedBy[KEYS];     /* who has taken a key as asker, and for whom; who has accepted it, and from whom */
byte askedFor[KEYS];
byte acceptedBy[KEYS];
byte acceptedFrom[KEYS];
byte ends;              /* askers whose session stands */

#define SAME_NONCES(c, d) (c.na == d.na && c.nb == d.nb)
#define SAME_NAMES(c, d) (c.asker == d.asker && c.asked == d.asked)
#define COPY(to, from, by) to.na = from.na; to.nb = from.nb; to.asker = by; to.asked = from.asked

#ifdef PROTOCOL_1978
#define FITS_NONCE(c, o) true
#define FITS_ANSWER(c, d) (c.na == d.na && SAME_NAMES(c, d))
#define FITS_TICKET(c, d) SAME_NAMES(c, d)
#elif defined(NO_NAMES)
#define FITS_NONCE(c, o) (SAME_NONCES(c, o) && c.asked == o.asked)
#define FITS_ANSWER(c, d) (SAME_NONCES(c, d) && c.asker == d.asker)     /* by whose key it is under */
#define FITS_TICKET(c, d) (SAME_NONCES(c, d) && c.asked == d.asked)
#else
#define FITS_NONCE(c, o) (SAME_NONCES(c, o) && SAME_NAMES(c, o))
#define FITS_ANSWER(c, d) FITS_NONCE(c, d)
#define FITS_TICKET(c, d) FITS_NONCE(c, d)
#endif

#ifdef NO_ROLE
#define ASKER_PROVES(k) (isKnown[k] || askerProof[k] || askedProof[k])
#define ASKED_PROVES(k) ASKER_PROVES(k)
#elif defined(PROTOCOL_1978)
/* {Nb - 1} under the key, by who has it now; an asker answers one challenge */
#define ASKER_PROVES(k) (isKnown[k] || (askerProof[k] && acceptedBy[k] == NOBODY))
#define ASKED_PROVES(k) (isKnown[k] || askedProof[k])
#else
#define ASKER_PROVES(k) (isKnown[k] || askerProof[k])
#define ASKED_PROVES(k) (isKnown[k] || askedProof[k])
#endif

/* asker.ts: HELLO, takes any NONCE, sends REQUEST, takes ANSWER, sends TICKET with its proof, takes the other's proof. */
proctype Asker(byte me; byte other; byte at) {
  byte k;
  atomic {
    if
    :: wanted[at].nb = 0
    :: wanted[at].nb = 1
    fi;
    wanted[at].na = at;
    wanted[at].asker = me;
    wanted[at].asked = other;
    isWanted[at] = true
  };
end_answer:
  atomic {
    if
    :: keys > 0 && FITS_ANSWER(issued[0], wanted[at]) -> k = 0
    :: keys > 1 && FITS_ANSWER(issued[1], wanted[at]) -> k = 1
    :: keys > 2 && FITS_ANSWER(issued[2], wanted[at]) -> k = 2
    fi;
    askedBy[k] = me;
    askedFor[k] = other;
    askerProof[k] = true
  };
end_proof:
  atomic {
    ASKED_PROVES(k);
    assert(!isKnown[k]);
    assert(acceptedBy[k] == other && acceptedFrom[k] == me);
    isKnown[k] = true; /* whatever comes of it later */
    ends++;
#ifdef BOTH_END
    assert(ends < RUNS)
#endif
  }
}

/* asked.ts: takes any HELLO, sends NONCE, takes TICKET with a proof, sends its own. */
proctype Asked(byte me; byte at) {
  byte k;
  atomic {
    if
    :: offered[at].na = 0
    :: offered[at].na = 1
    fi;
    if
    :: offered[at].asker = 1 - me
    :: offered[at].asker = I
    fi;
    offered[at].nb = at;
    offered[at].asked = me;
    isOffered[at] = true
  };
end_ticket:
  atomic {
    if
    :: keys > 0 && FITS_TICKET(issued[0], offered[at]) && ASKER_PROVES(0) -> k = 0
    :: keys > 1 && FITS_TICKET(issued[1], offered[at]) && ASKER_PROVES(1) -> k = 1
    :: keys > 2 && FITS_TICKET(issued[2], offered[at]) && ASKER_PROVES(2) -> k = 2
    fi;
    if
    :: offered[at].asker != I ->
      assert(!isKnown[k]);
      assert(askedBy[k] == offered[at].asker && askedFor[k] == me);
      assert(acceptedBy[k] == NOBODY)
    :: else
    fi;
    acceptedBy[k] = me;
    acceptedFrom[k] = offered[at].asker;
    askedProof[k] = true
  }
}

#define HAS_NONCE(c) ((isOffered[0] && FITS_NONCE(c, offered[0])) || (isOffered[1] && FITS_NONCE(c, offered[1])))
#define FROM_I(at) (isOffered[at] && (offered[at].asker == I || MAY_LIE))
#ifdef NO_NAMES
#define MAY_LIE true
#else
#define MAY_LIE false
#endif

/* service.ts: answers a REQUEST with a NONCE of who is asked in it, again and again; I asks in its own name. */
proctype Service() {
end:
  do
  :: atomic {
      keys < KEYS;
      if
      :: isWanted[0] && HAS_NONCE(wanted[0]) -> COPY(issued[keys], wanted[0], wanted[0].asker)
      :: isWanted[1] && HAS_NONCE(wanted[1]) -> COPY(issued[keys], wanted[1], wanted[1].asker)
      :: FROM_I(0) -> COPY(issued[keys], offered[0], I)
      :: FROM_I(1) -> COPY(issued[keys], offered[1], I)
      fi;
      isKnown[keys] = issued[keys].asker == I;
      keys++
    }
  od
}

init {
  byte k;
  atomic {
    for (k : 0 .. KEYS - 1) {
      askedBy[k] = NOBODY;
      askedFor[k] = NOBODY;
      acceptedBy[k] = NOBODY;
      acceptedFrom[k] = NOBODY
    };
    run Service();
    run Asker(A, B, 0);
    run Asked(B, 0);
    if
    :: run Asker(A, B, 1)
    :: run Asker(B, A, 1)
    fi;
    if
    :: run Asked(A, 1)
    :: run Asked(B, 1)
    fi
  }
}
