import { HashBytes, KeyBytes, PointBytes, SignatureBytes, WrapBytes, concat, decodeSized, encodeText, equal, label, uint32, uuidBytes, } from "./bytes.js";
import { ConsentScope, isWithdrawn, verifyConsent } from "./consent.js";
import { hpke, sign, verify } from "./device.js";
import { EnvelopeError, Refusal } from "./failure.js";
import { isWatched, parseRoster, participant, rosterHash, rosterJson } from "./roster.js";
/** The only suite that is made and opened. Suite 1 signed no consent id; one old test vector has it. */
export const Suite = 2;
const SuiteOld = 1;
const NoConsent = '00000000-0000-0000-0000-000000000000';
function wrapInfo(sessionId, epoch, kid, hash) {
    return concat(label('pe1/epoch-wrap'), uuidBytes(sessionId), uint32(epoch), uuidBytes(kid), hash);
}
async function hkdf(key, sessionId, info) {
    const params = { name: 'HKDF', hash: 'SHA-256', salt: uuidBytes(sessionId), info };
    return new Uint8Array(await crypto.subtle.deriveBits(params, key, KeyBytes * 8));
}
async function importEpochKey(bytes) {
    return crypto.subtle.importKey('raw', bytes, 'HKDF', false, ['deriveBits', 'deriveKey']);
}
async function commitment(key, sessionId, epoch) {
    return hkdf(key, sessionId, concat(label('pe1/commit'), uint32(epoch)));
}
function signed(row, hash, commit) {
    const old = concat(label('pe1/epoch'), uuidBytes(row.session_id), uint32(row.epoch), uuidBytes(row.device_id), hash, commit);
    return row.suite === SuiteOld ? old : concat(old, uuidBytes(row.consent_id ?? NoConsent));
}
async function verifyRow(row) {
    const roster = await parseRoster(row.roster);
    const hash = decodeSized('roster_hash', row.roster_hash, HashBytes);
    const commit = decodeSized('key_commit', row.key_commit, HashBytes);
    const signature = decodeSized('signature', row.signature, SignatureBytes);
    if (!equal(await rosterHash(roster), hash))
        throw new EnvelopeError(Refusal.roster, 'roster hash disagrees');
    const maker = participant(roster, row.device_id);
    if (!(await verify(maker.sigKey, signed(row, hash, commit), signature))) {
        throw new EnvelopeError(Refusal.signature, `signature of epoch ${row.epoch} does not verify`);
    }
    return { row, roster, hash, commit };
}
async function checkConsent(row, roster, consent, history) {
    if (row.consent_id === null || row.consent_id === NoConsent || consent === undefined) {
        throw new EnvelopeError(Refusal.consent, 'the roster holds an analysis key, and no consent is there');
    }
    if (consent.id !== row.consent_id || consent.session_id !== row.session_id) {
        throw new EnvelopeError(Refusal.consent, `consent ${consent.id} is not the epoch's`);
    }
    if (!consent.scope.includes(ConsentScope.analysis)) {
        throw new EnvelopeError(Refusal.consent, `consent ${consent.id} does not cover analysis`);
    }
    await verifyConsent(consent, roster);
    if (isWithdrawn(consent) && !(history && consent.withdrawn_at !== null)) {
        throw new EnvelopeError(Refusal.consent, `consent ${consent.id} was withdrawn`);
    }
}
async function unwrap(checked, wrap, device) {
    const { row, roster, hash, commit } = checked;
    if (wrap === undefined)
        throw new EnvelopeError(Refusal.wrap, `no wrap for device ${device.kid}`);
    let bytes;
    try {
        const sealed = decodeSized('wrap', wrap, WrapBytes);
        const info = wrapInfo(row.session_id, row.epoch, device.kid, hash);
        bytes = concat(await hpke.Open(device.enc, sealed.subarray(0, PointBytes), sealed.subarray(PointBytes), { info }));
    }
    catch (cause) {
        throw new EnvelopeError(Refusal.wrap, `wrap for device ${device.kid} does not open`, { cause });
    }
    if (bytes.length !== KeyBytes)
        throw new EnvelopeError(Refusal.wrap, 'wrap holds no epoch key');
    const key = await importEpochKey(bytes);
    bytes.fill(0);
    if (!equal(await commitment(key, row.session_id, row.epoch), commit)) {
        throw new EnvelopeError(Refusal.commitment, `commitment of epoch ${row.epoch} disagrees`);
    }
    return { sessionId: row.session_id, number: row.epoch, by: row.device_id, roster, consentId: row.consent_id, key };
}
/**
 * Verifies an epoch and unwraps its key for the device. The checks come in the same order as Go's envelope.OpenEpoch: suite,
 * format, roster hash, maker, signature, pins, consent, wrap, commitment.
 */
export async function openEpoch(row, wrap, consent, device, options = {}) {
    if (row.suite !== Suite)
        throw new EnvelopeError(Refusal.suite, `suite ${row.suite}`);
    const checked = await verifyRow(row);
    await options.checkPins?.(checked.roster);
    if (isWatched(checked.roster))
        await checkConsent(row, checked.roster, consent, options.history ?? false);
    return unwrap(checked, wrap, device);
}
/** Opens the one vector of suite 1, which knew no consent. For the test of it only; not exported by the package. */
export async function openFirstVector(row, wrap, device) {
    if (row.suite !== SuiteOld)
        throw new EnvelopeError(Refusal.suite, `suite ${row.suite}`);
    return unwrap(await verifyRow(row), wrap, device);
}
/** Makes an epoch's key, wraps it for every device of the roster, and signs it. The device must stand on the roster. */
export async function makeEpoch(device, terms) {
    const { sessionId, number, roster, consentId } = terms;
    participant(roster, device.kid);
    const bytes = crypto.getRandomValues(new Uint8Array(KeyBytes));
    const key = await importEpochKey(bytes);
    const [hash, commit] = await Promise.all([rosterHash(roster), commitment(key, sessionId, number)]);
    const wraps = {};
    for (const member of roster) {
        const info = wrapInfo(sessionId, number, member.kid, hash);
        const { encapsulatedSecret, ciphertext } = await hpke.Seal(member.encKey, bytes, { info });
        wraps[member.kid] = encodeText(concat(encapsulatedSecret, ciphertext));
    }
    bytes.fill(0);
    const row = { session_id: sessionId, epoch: number, device_id: device.kid, consent_id: consentId, suite: Suite };
    const signature = encodeText(await sign(device, signed(row, hash, commit)));
    return {
        epoch: { sessionId, number, by: device.kid, roster, consentId, key },
        row: {
            ...row,
            roster: rosterJson(roster),
            roster_hash: encodeText(hash),
            key_commit: encodeText(commit),
            signature,
            wraps,
        },
    };
}
const keys = new WeakMap();
/** The AES-256-GCM key of one sender in an epoch, derived once. */
export async function messageKey(epoch, sender) {
    const bySender = keys.get(epoch) ?? new Map();
    keys.set(epoch, bySender);
    const known = bySender.get(sender);
    if (known !== undefined)
        return known;
    const info = concat(label('pe1/msg'), uint32(epoch.number), uuidBytes(sender));
    const params = { name: 'HKDF', hash: 'SHA-256', salt: uuidBytes(epoch.sessionId), info };
    const aes = { name: 'AES-GCM', length: KeyBytes * 8 };
    const made = crypto.subtle.deriveKey(params, epoch.key, aes, false, ['encrypt', 'decrypt']);
    bySender.set(sender, made);
    return made;
}
