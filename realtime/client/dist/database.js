import { RequestError } from "./failure.js";
import { fields, list, text, whole } from "./parse.js";
import { parseConsent, parseDevice, parseEpoch, parseMessage, parseParticipant, parseSealed, parseSession, } from "./rows.js";
/** A page of history. */
export const PageRows = 500;
/** Takes supabase-js' answer apart: its data, or a RequestError. */
async function answer(attempt, request) {
    let got;
    try {
        got = await request;
    }
    catch (cause) {
        throw new RequestError(attempt, '', 0, 'no answer', '', { cause });
    }
    if (got.error === null)
        return got.data;
    const { code = '', message, details } = got.error;
    throw new RequestError(attempt, code, got.status, message, details ?? '');
}
async function rows(attempt, request, parse) {
    return list(await answer(attempt, request), attempt).map(parse);
}
/** The tables and functions that a session uses, through plain supabase-js; every row is parsed once, here. */
export class Database {
    #supabase;
    constructor(supabase) {
        this.#supabase = supabase;
    }
    async session(id) {
        const request = this.#supabase.from('sessions').select('id,organization_id,mode,status,min_epoch').eq('id', id);
        return (await rows('read session', request, parseSession))[0];
    }
    participants(sessionId) {
        const request = this.#supabase
            .from('session_participants').select('session_id,user_id,role,ended_at').eq('session_id', sessionId);
        return rows('read participants', request, parseParticipant);
    }
    /** All devices, revoked ones too, of these people; and the sidecar's. */
    async devices(userIds) {
        const columns = 'id,user_id,kind,enc_pub,sig_pub,created_at,revoked_at';
        const people = this.#supabase.from('devices').select(columns).in('user_id', [...userIds]);
        const analysis = this.#supabase.from('devices').select(columns).eq('kind', 'analysis');
        const found = await Promise.all([
            rows('read devices', people, parseDevice),
            rows('read analysis devices', analysis, parseDevice),
        ]);
        return found.flat();
    }
    async device(id) {
        const request = this.#supabase
            .from('devices').select('id,user_id,kind,enc_pub,sig_pub,created_at,revoked_at').eq('id', id);
        return (await rows('read device', request, parseDevice))[0];
    }
    async insertDevice(row) {
        await answer('register device', this.#supabase.from('devices').insert({ ...row, kind: 'participant' }));
    }
    consents(sessionId) {
        const columns = 'id,session_id,device_id,scope,text_hash,signature,withdrawn_at,withdrawal_signature';
        const request = this.#supabase
            .from('session_consents').select(columns).eq('session_id', sessionId).order('given_at', { ascending: true });
        return rows('read consents', request, parseConsent);
    }
    async insertConsent(row) {
        const { id, session_id, device_id, scope, text_hash, signature } = row;
        const values = { id, session_id, device_id, scope: [...scope], text_hash, signature };
        await answer('give consent', this.#supabase.from('session_consents').insert(values));
    }
    async withdrawConsent(consentId, signature) {
        await answer('withdraw consent', this.#supabase.rpc('withdraw_consent', { consent_id: consentId, signature }));
    }
    epochs(sessionId) {
        const columns = 'session_id,epoch,device_id,roster,roster_hash,key_commit,consent_id,signature,suite,created_at';
        const request = this.#supabase.from('session_epochs').select(columns).eq('session_id', sessionId).order('epoch');
        return rows('read epochs', request, parseEpoch);
    }
    /** The device's own wraps, by epoch. */
    async wraps(sessionId, deviceId) {
        const request = this.#supabase
            .from('epoch_wraps').select('epoch,wrap').eq('session_id', sessionId).eq('device_id', deviceId);
        const found = await rows('read wraps', request, (value) => {
            const row = fields(value, 'wrap');
            return [whole(row, 'epoch'), text(row, 'wrap')];
        });
        return new Map(found);
    }
    async createEpoch(row) {
        const { session_id, epoch, device_id, roster, roster_hash, key_commit, signature, consent_id, wraps } = row;
        const terms = { session_id, epoch, device_id, roster, roster_hash, key_commit, signature, consent_id, wraps };
        await answer('create epoch', this.#supabase.rpc('create_epoch', terms));
    }
    /** Messages after a position, in order, at most PageRows. */
    messagesAfter(sessionId, position) {
        const columns = 'id,session_id,sender_id,sender_device_id,epoch,seq,position,assisted,body,created_at';
        const request = this.#supabase
            .from('messages').select(columns).eq('session_id', sessionId).gt('position', position).order('position').limit(PageRows);
        return rows('read messages', request, parseMessage);
    }
    async stored(messageId) {
        const request = this.#supabase
            .from('messages').select('id,session_id,sender_device_id,epoch,seq,body').eq('id', messageId);
        return (await rows('look for own message', request, parseSealed))[0];
    }
    /** The highest seq that the device has used in an epoch, -1 for none. */
    async lastSeq(sessionId, deviceId, epoch) {
        const request = this.#supabase
            .from('messages').select('seq').eq('session_id', sessionId).eq('sender_device_id', deviceId).eq('epoch', epoch)
            .order('seq', { ascending: false }).limit(1);
        return (await rows('read last seq', request, (row) => whole(fields(row, 'message'), 'seq')))[0] ?? -1;
    }
    async insertMessage(m) {
        await answer('send message', this.#supabase.from('messages').insert({ ...m }));
    }
}
