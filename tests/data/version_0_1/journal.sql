--
-- PostgreSQL database dump
--


-- Dumped from database version 18.4
-- Dumped by pg_dump version 18.4

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: refuse_change(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            RAISE EXCEPTION 'verdicts are appended only' USING ERRCODE = 'restrict_violation';
        END $$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: alembic_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);


--
-- Name: answers; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.answers (
    principal text NOT NULL,
    request_id text NOT NULL,
    "position" integer NOT NULL,
    image_id text,
    image_digest text NOT NULL,
    model_name text NOT NULL,
    model_version text NOT NULL,
    model_digest text NOT NULL,
    preprocessing_version text NOT NULL,
    probabilities real[] NOT NULL,
    thresholds real[] NOT NULL,
    findings text[] NOT NULL,
    typicality real NOT NULL,
    latency_ms jsonb NOT NULL,
    cached boolean NOT NULL,
    answered_at timestamp with time zone NOT NULL
);


--
-- Name: disputed_answers; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.disputed_answers (
    principal text CONSTRAINT answers_principal_not_null NOT NULL,
    request_id text CONSTRAINT answers_request_id_not_null NOT NULL,
    "position" integer CONSTRAINT answers_position_not_null NOT NULL,
    image_id text,
    image_digest text CONSTRAINT answers_image_digest_not_null NOT NULL,
    model_name text CONSTRAINT answers_model_name_not_null NOT NULL,
    model_version text CONSTRAINT answers_model_version_not_null NOT NULL,
    model_digest text CONSTRAINT answers_model_digest_not_null NOT NULL,
    preprocessing_version text CONSTRAINT answers_preprocessing_version_not_null NOT NULL,
    probabilities real[] CONSTRAINT answers_probabilities_not_null NOT NULL,
    thresholds real[] CONSTRAINT answers_thresholds_not_null NOT NULL,
    findings text[] CONSTRAINT answers_findings_not_null NOT NULL,
    typicality real CONSTRAINT answers_typicality_not_null NOT NULL,
    latency_ms jsonb CONSTRAINT answers_latency_ms_not_null NOT NULL,
    cached boolean CONSTRAINT answers_cached_not_null NOT NULL,
    answered_at timestamp with time zone CONSTRAINT answers_answered_at_not_null NOT NULL
);


--
-- Name: verdicts; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.verdicts (
    reader text NOT NULL,
    feedback_id text NOT NULL,
    principal text NOT NULL,
    request_id text NOT NULL,
    "position" integer NOT NULL,
    findings text[] NOT NULL,
    present boolean[] NOT NULL,
    had_seen_answer boolean NOT NULL,
    given_at timestamp with time zone DEFAULT now() NOT NULL,
    serial bigint NOT NULL,
    CONSTRAINT verdicts_check CHECK (((cardinality(findings) > 0) AND (cardinality(findings) = cardinality(present))))
);


--
-- Name: verdicts_serial_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.verdicts ALTER COLUMN serial ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.verdicts_serial_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Data for Name: alembic_version; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.alembic_version VALUES ('0002');


--
-- Data for Name: answers; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.answers VALUES ('ward-3', 'request-1', 0, 'some/radiograph.dcm', 'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd', 'chest-xray', '1.0.0', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '1', '{0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25}', '{0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5}', '{Effusion}', 0.5, '{"fetch": 1.5, "predict": 40.0}', false, '2026-11-23 12:00:00.123456+00');
INSERT INTO public.answers VALUES ('ward-3', 'request-1', 1, NULL, 'eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee', 'chest-xray', '1.0.0', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '1', '{0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25}', '{0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5}', '{Effusion}', 0.5, '{"fetch": 1.5, "predict": 40.0}', false, '2026-11-23 12:00:00.123456+00');
INSERT INTO public.answers VALUES ('ward-3', 'request-2', 0, 'some/radiograph.dcm', 'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd', 'chest-xray', '1.0.0', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '1', '{0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25}', '{0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5}', '{Mass,Edema}', 0, '{"fetch": 1.5, "predict": 40.0}', false, '2026-11-23 12:00:00.123456+00');


--
-- Data for Name: disputed_answers; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: verdicts; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.verdicts OVERRIDING SYSTEM VALUE VALUES ('dr-a', 'f1', 'ward-3', 'request-1', 0, '{Mass,Edema}', '{t,NULL}', false, '2026-11-30 16:49:46.712016+00', 1);


--
-- Name: verdicts_serial_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.verdicts_serial_seq', 1, true);


--
-- Name: alembic_version alembic_version_pkc; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);


--
-- Name: answers answers_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.answers
    ADD CONSTRAINT answers_pkey PRIMARY KEY (principal, request_id, "position");


--
-- Name: disputed_answers disputed_answers_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.disputed_answers
    ADD CONSTRAINT disputed_answers_pkey PRIMARY KEY (principal, request_id, "position", image_digest);


--
-- Name: verdicts verdicts_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.verdicts
    ADD CONSTRAINT verdicts_pkey PRIMARY KEY (reader, feedback_id);


--
-- Name: answers_answered_at; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX answers_answered_at ON public.answers USING btree (answered_at);


--
-- Name: answers_image_digest; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX answers_image_digest ON public.answers USING btree (image_digest);


--
-- Name: verdicts_answer; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX verdicts_answer ON public.verdicts USING btree (principal, request_id, "position");


--
-- Name: verdicts_given_at; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX verdicts_given_at ON public.verdicts USING btree (given_at);


--
-- Name: verdicts verdicts_append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER verdicts_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.verdicts FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();


--
-- Name: verdicts verdicts_principal_request_id_position_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.verdicts
    ADD CONSTRAINT verdicts_principal_request_id_position_fkey FOREIGN KEY (principal, request_id, "position") REFERENCES public.answers(principal, request_id, "position");


--
-- PostgreSQL database dump complete
--


