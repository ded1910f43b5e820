import { Clock } from "./clock.js";
import { ConsentScope, signConsent, signWithdrawal } from "./consent.js";
import { Emitter, call } from "./events.js";
import { EnvelopeError, RequestError, toError } from "./failure.js";
import { openMessage, parseContent, sealMessage, textContent } from "./message.js";
import { Outbox } from "./outbox.js";
import { whole } from "./parse.js";
import { Role, findMember } from "./roster.js";
import { ParticipantRole, SessionMode, parseMessage, } from "./rows.js";
import { State } from "./state.js";
import { Timeline } from "./timeline.js";
import { Topic, TopicStatus } from "./topic.js";
/** Rows that change who may read, or what is in force: the session is read again when one is heard. */
const stateEvents = new Set(['session', 'participant', 'consent', 'epoch']);
/** One therapy session, as one of its people sees it. Made by Vigil.session. */
export class Session {
    id;
    #deps;
    #clock = new Clock();
    #events = new Emitter();
    #state;
    #outbox;
    #timeline;
    #topics = [];
    #shown = [];
    #seqs = new Map();
    #care;
    #status = TopicStatus.waiting;
    constructor(deps) {
        this.#deps = deps;
        this.id = deps.id;
        this.#state = new State({ ...deps, now: Date.now });
        this.#outbox = new Outbox({
            seal: (id, text) => this.#seal(id, text),
            insert: (m) => deps.database.insertMessage(m),
            stored: (id) => deps.database.stored(id),
            sent: (m) => {
                this.#state.sent(m.epoch, m.seq);
            },
            refresh: () => this.#state.refresh(),
            clock: this.#clock,
        });
        this.#timeline = new Timeline({
            read: (position) => deps.database.messagesAfter(deps.id, position),
            deliver: async (row) => {
                this.#show(await this.#judge(row, true));
            },
            clock: this.#clock,
        });
    }
    /** Reads the session, pins whom it meets, and joins its topic; history follows by itself. Called by Vigil.session. */
    async start() {
        await this.#state.refresh();
        await this.#meet();
        const topic = new Topic(this.#deps.realtime, `session:${this.id}`, {
            event: ({ event, row }) => {
                this.#guard(() => {
                    this.#hear(event, row);
                });
            },
            status: (status) => {
                this.#turn(status);
            },
        });
        this.#topics.push(topic);
        void this.#timeline.catchUp(); // the history does not wait for the socket
        await topic.join();
    }
    /** The session's row, as last read. */
    get row() {
        return this.#state.row;
    }
    get status() {
        return this.#status;
    }
    /** Whether the sidecar is to watch what is sent now; if not, both screens say so. */
    get watched() {
        return this.#state.row.mode === SessionMode.assisted;
    }
    /** Messages that are not stored yet. */
    get waiting() {
        return this.#outbox.waiting;
    }
    /** The devices that can read what is sent now: always shown. */
    get readers() {
        return this.#state.expectedDevices();
    }
    /**
     * Listens. For 'message': first the messages there are, in order, then each new one once. For 'session': the row as it is,
     * then its changes. Returns the undo.
     */
    on(name, listener) {
        const undo = this.#events.on(name, listener);
        if (name === 'assessment' || name === 'alert')
            this.#joinCare();
        this.#replay({ [name]: listener });
        return undo;
    }
    /** Tells a new listener what was already said. */
    #replay(listener) {
        if (listener.message !== undefined)
            for (const message of this.#shown)
                call(listener.message, message);
        if (listener.session !== undefined)
            call(listener.session, this.#state.row);
        if (listener.status !== undefined)
            call(listener.status, this.#status);
    }
    /**
     * Seals and sends a text; resolves with the message's id when it is stored. While the network is away it waits, in order,
     * in memory. Rejects with SessionError, DeviceChangedError, EnvelopeError or RequestError, and then it was surely not stored.
     */
    send(text) {
        return this.#outbox.send(text);
    }
    /** Verifies and opens one row of `messages`, wherever it comes from. */
    async open(row) {
        return this.#judge(parseMessage(row), false);
    }
    /** The consent of the session's client. */
    consent = {
        /** Signs and stores a consent to the text that was shown; resolves with its id. The client's only. */
        give: async (terms) => {
            const { device, database } = this.#deps;
            const scope = terms.scope ?? [ConsentScope.analysis];
            const id = crypto.randomUUID();
            await database.insertConsent(await signConsent(device, { id, sessionId: this.id, text: terms.text, scope }));
            await this.#refresh();
            return id;
        },
        /** Withdraws a consent: what is sent after it is under another epoch. */
        withdraw: async (id) => {
            const { device, database } = this.#deps;
            const consent = this.#state.consents.find((one) => one.id === id);
            if (consent === undefined)
                throw new EnvelopeError('consent', `consent ${id} is not there`);
            await database.withdrawConsent(id, await signWithdrawal(device, consent));
            await this.#refresh();
        },
        /** All consents of the session, as last read. */
        list: () => this.#state.consents,
    };
    /** Trusts a device with the keys it has now: the people compared the safety number. */
    async acknowledge(deviceId) {
        const row = this.#state.devices.find((one) => one.id === deviceId);
        if (row === undefined)
            throw new EnvelopeError('roster', `device ${deviceId} is not there`);
        await this.#deps.pins.acknowledge(row);
    }
    /** Tries at once what waits for the network: call it when the browser is online again. */
    wake() {
        this.#clock.wake();
    }
    /** Leaves the topics. What was not stored is rejected as 'closed'. */
    async close() {
        this.#clock.close();
        await Promise.all(this.#topics.map((topic) => topic.leave()));
    }
    async #seal(id, text) {
        const epoch = await this.#state.sending();
        const seq = await this.#state.nextSeq(epoch.number);
        return sealMessage(this.#deps.device, epoch, { id, seq }, textContent(text, new Date()));
    }
    /** Opens a row, or says why not. Throws only what may be otherwise a moment later. */
    async #judge(row, live) {
        const device = this.#state.devices.find((one) => one.id === row.sender_device_id);
        const place = {
            id: row.id,
            position: row.position,
            watched: row.assisted,
            missing: live ? this.#gap(row) : 0,
            at: new Date(row.created_at),
        };
        const userId = device?.user_id ?? row.sender_id;
        const from = { userId, deviceId: row.sender_device_id, role: null, me: userId === this.#deps.userId };
        try {
            const epoch = await this.#state.reading(row.epoch);
            const content = parseContent(await openMessage(epoch, row));
            const role = findMember(epoch.roster, row.sender_device_id)?.role === Role.client ? ParticipantRole.client : ParticipantRole.therapist;
            const trusted = await this.#deps.pins.isTrusted(row.sender_device_id);
            const badge = trusted ? null : { kind: 'new_device', deviceId: row.sender_device_id };
            return { ...place, from: { ...from, role }, text: content.body, badge };
        }
        catch (thrown) {
            if (!(thrown instanceof EnvelopeError))
                throw thrown;
            return { ...place, from, text: null, badge: { kind: 'unreadable', refusal: thrown.refusal } };
        }
    }
    /** How many seqs of the sender are missing before this row. */
    #gap(row) {
        const key = `${row.sender_device_id} ${row.epoch}`;
        const expected = (this.#seqs.get(key) ?? -1) + 1;
        this.#seqs.set(key, Math.max(row.seq, expected - 1));
        return Math.max(0, row.seq - expected);
    }
    #show(message) {
        this.#shown.push(message);
        this.#events.emit('message', message);
    }
    #hear(event, row) {
        if (event === 'message')
            this.#timeline.offer(parseMessage(row));
        if (event === 'arrival')
            this.#timeline.heard(whole(row, 'position'));
        if (stateEvents.has(event))
            void this.#refresh().catch(this.#report);
        if (event === 'assessment' || event === 'alert')
            this.#events.emit(event, row);
    }
    #turn(status) {
        this.#status = status;
        this.#events.emit('status', status);
        if (status !== TopicStatus.joined)
            return;
        this.#clock.wake();
        void this.#timeline.catchUp();
        void this.#refresh().catch(this.#report);
    }
    async #refresh() {
        const before = this.#state.row;
        const consents = this.#state.consents;
        await this.#state.refresh();
        await this.#meet();
        if (JSON.stringify(before) !== JSON.stringify(this.#state.row))
            this.#events.emit('session', this.#state.row);
        if (JSON.stringify(consents) !== JSON.stringify(this.#state.consents))
            this.#events.emit('consent', this.#state.consents);
    }
    /** Pins devices met for the first time, and asks about the others. */
    async #meet() {
        const waiting = await this.#state.unacknowledged();
        if (this.#deps.trustNewDevices) {
            for (const id of waiting)
                await this.acknowledge(id);
        }
        else if (waiting.length > 0) {
            this.#events.emit('devices', waiting);
        }
    }
    #joinCare() {
        if (this.#care !== undefined)
            return;
        this.#care = new Topic(this.#deps.realtime, `care:${this.id}`, {
            event: ({ event, row }) => {
                this.#hear(event, row);
            },
            status: () => undefined, // the session's own topic says whether we are connected
        });
        this.#topics.push(this.#care);
        this.#care.join().catch(this.#report);
    }
    #guard(work) {
        try {
            work();
        }
        catch (thrown) {
            this.#report(thrown);
        }
    }
    #report = (thrown) => {
        const temporary = thrown instanceof RequestError && thrown.temporary; // the next join reads again
        if (!temporary)
            this.#events.emit('error', toError(thrown, 'follow the session'));
    };
}
