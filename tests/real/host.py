"""Uses one library for as long as it lives, and checks each answer: host.py NAME COUNTER-FILE.

The library comes from LD_LIBRARY_PATH. Each round's number is written to the file; the first wrong answer ends the program.
"""
import base64
import ctypes
import hashlib
import io
import os
import struct
import sys
import tempfile
import time
import zlib
from ctypes import POINTER, Structure, byref, c_char_p, c_double, c_int, c_long, c_size_t, c_uint, c_void_p, cast, create_string_buffer


def load(name, **results):
    library = ctypes.CDLL(name)
    for function, result in results.items():
        getattr(library, function).restype = result
    return library


def expect(condition, what):
    if not condition:
        raise SystemExit(f"wrong answer: {what}")


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes((x * y) & 255 for x in range(width * 3)) for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def libpng():
    class Image(Structure):
        _fields_ = [("opaque", c_void_p), ("version", c_uint), ("width", c_uint), ("height", c_uint), ("format", c_uint),
                    ("flags", c_uint), ("entries", c_uint), ("code", c_uint), ("message", ctypes.c_char * 64)]
    library, data = load("libpng16.so.16"), png(40, 30)

    def use():
        image = Image(version=1)
        expect(library.png_image_begin_read_from_memory(byref(image), data, c_size_t(len(data))), "png header")
        expect((image.width, image.height) == (40, 30), "png size")
        image.format = 2
        pixels = create_string_buffer(40 * 30 * 3)
        expect(library.png_image_finish_read(byref(image), None, pixels, 0, None), "png pixels")
        expect(pixels.raw[3 * 40 * 7:3 * 40 * 7 + 9] == bytes(x * 7 & 255 for x in range(9)), "png pixels")
    return use


def libgd():
    library = load("libgd.so.3", gdImageCreateTrueColor=c_void_p, gdImagePngPtr=c_void_p, gdImageCreateFromPngPtr=c_void_p,
                   gdImageGifPtr=c_void_p, gdImageCreateFromGifPtr=c_void_p, gdImageScale=c_void_p)

    def use():
        image = c_void_p(library.gdImageCreateTrueColor(64, 64))
        library.gdImageFilledRectangle(image, 8, 8, 40, 40, 0x123456)
        size = c_int()
        data = c_void_p(library.gdImagePngPtr(image, byref(size)))
        again = c_void_p(library.gdImageCreateFromPngPtr(size, data))
        expect(library.gdImageGetPixel(again, 20, 20) == 0x123456 and library.gdImageGetPixel(again, 2, 2) == 0, "png of gd")
        library.gdFree(data)
        data = c_void_p(library.gdImageGifPtr(image, byref(size)))
        gif = c_void_p(library.gdImageCreateFromGifPtr(size, data))
        expect(gif.value, "gif of gd")
        library.gdFree(data)
        for one in (image, again, gif):
            library.gdImageDestroy(one)
    return use


def libjq():
    class Value(Structure):
        _fields_ = [("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]
    library = load("libjq.so.1", jq_init=c_void_p, jv_parse=Value, jq_next=Value, jv_dump_string=Value, jv_string_value=c_char_p, jv_copy=Value)
    library.jv_string_value.argtypes = [Value]
    library.jv_dump_string.argtypes = [Value, c_int]
    library.jq_start.argtypes = [c_void_p, Value, c_int]
    library.jv_free.argtypes = [Value]

    def use():
        state = c_void_p(library.jq_init())
        expect(library.jq_compile(state, b'[.a[]|.*2|tostring]|join("-")|ascii_downcase|test("2-.*6")'), "jq program")
        library.jq_start(state, library.jv_parse(b'{"a":[1,2,3]}'), 0)
        text = library.jv_dump_string(library.jq_next(state), 0)
        expect(library.jv_string_value(text) == b"true", "jq result")
        library.jv_free(text)
        library.jq_teardown(byref(state))
    return use


def liblzma():
    import lzma
    data = b"".join(b"line %d of what is packed\n" % (i * i) for i in range(3000))

    def use():
        for kind in (lzma.FORMAT_XZ, lzma.FORMAT_ALONE):
            expect(lzma.decompress(lzma.compress(data, format=kind, preset=1)) == data, "unpacked text")
    return use


def libexpat():
    import xml.parsers.expat
    text = b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY e 'x&#65;'>]><a b='1'>" + b"<c>&e;</c>" * 300 + b"</a>"

    def use():
        found = []
        parser = xml.parsers.expat.ParserCreate()
        parser.StartElementHandler = lambda name, attributes: found.append(name)
        parser.Parse(text, True)
        expect(len(found) == 301, "elements")
    return use


def libxml2():
    library = load("libxml2.so.2", xmlReadMemory=c_void_p, xmlXPathNewContext=c_void_p, xmlXPathEvalExpression=c_void_p, htmlReadMemory=c_void_p,
                   xmlXPathCastToNumber=c_double)
    text = b"<!DOCTYPE a [<!ELEMENT a (b*)><!ELEMENT b (#PCDATA)>]><a>" + b"<b>1</b>" * 50 + b"</a>"

    def use():
        document = c_void_p(library.xmlReadMemory(text, len(text), None, None, 2 | 16))
        context = c_void_p(library.xmlXPathNewContext(document))
        result = c_void_p(library.xmlXPathEvalExpression(b"sum(//b) + count(//b[position() > 40])", context))
        expect(library.xmlXPathCastToNumber(result) == 60, "sum by XPath")
        library.xmlXPathFreeObject(result)
        library.xmlXPathFreeContext(context)
        library.xmlFreeDoc(document)
        page = c_void_p(library.htmlReadMemory(b"<p>a<p>b", 8, None, None, 32 | 64))
        expect(page.value, "html")
        library.xmlFreeDoc(page)
    return use


def libxslt():
    xml = load("libxml2.so.2", xmlReadMemory=c_void_p)
    library = load("libxslt.so.1", xsltParseStylesheetDoc=c_void_p, xsltApplyStylesheet=c_void_p)
    sheet = (b"<xsl:stylesheet version='1.0' xmlns:xsl='http://www.w3.org/1999/XSL/Transform'><xsl:output method='text'/>"
             b"<xsl:template match='/'><xsl:for-each select='//b'><xsl:sort select='.'/><xsl:number/>:<xsl:value-of select='.'/>,"
             b"</xsl:for-each></xsl:template></xsl:stylesheet>")
    text = b"<a><b>z</b><b>y</b></a>"

    def use():
        style = c_void_p(library.xsltParseStylesheetDoc(c_void_p(xml.xmlReadMemory(sheet, len(sheet), None, None, 0))))
        document = c_void_p(xml.xmlReadMemory(text, len(text), None, None, 0))
        result = c_void_p(library.xsltApplyStylesheet(style, document, None))
        out, size = c_void_p(), c_int()
        library.xsltSaveResultToString(byref(out), byref(size), result, style)
        expect(ctypes.string_at(out, size.value) == b"2:y,1:z,", "transformed text")
        xml.xmlFreeDoc(result)
        xml.xmlFreeDoc(document)
        library.xsltFreeStylesheet(style)
    return use


def libbrotli():
    encoder, library = load("libbrotlienc.so.1"), load("libbrotlidec.so.1")
    data = b"".join(b"word %d again and again " % (i % 77) for i in range(2000))

    def use():
        packed, size = create_string_buffer(len(data)), c_size_t(len(data))
        expect(encoder.BrotliEncoderCompress(5, 22, 0, c_size_t(len(data)), data, byref(size), packed), "packing")
        out, out_size = create_string_buffer(len(data)), c_size_t(len(data))
        expect(library.BrotliDecoderDecompress(size, packed, byref(out_size), out) == 1 and out.raw == data, "unpacked text")
    return use


def libnss():
    library = load("libnss3.so")
    expect(library.NSS_NoDB_Init(None) == 0, "NSS_NoDB_Init")

    def use():
        out = create_string_buffer(32)
        expect(library.PK11_HashBuf(191, out, b"abc", 3) == 0 and out.raw == hashlib.sha256(b"abc").digest(), "SHA-256 by NSS")
        library.BTOA_DataToAscii.restype = c_void_p
        text = library.BTOA_DataToAscii(b"abcdef", 6)
        expect(ctypes.string_at(text) == b"YWJjZGVm", "base64 by NSS")
    return use


def libglib():
    library = load("libglib-2.0.so.0", g_base64_encode=c_void_p, g_uri_escape_string=c_void_p, g_regex_new=c_void_p, g_variant_parse=c_void_p,
                   g_variant_print=c_void_p, g_utf8_strup=c_void_p, g_date_time_new_utc=c_void_p, g_date_time_format=c_void_p)
    library.g_date_time_new_utc.argtypes = [c_int] * 5 + [c_double]

    def text(pointer):
        value = ctypes.string_at(pointer)
        library.g_free(c_void_p(pointer))
        return value

    def use():
        expect(text(library.g_base64_encode(b"abcdef", c_size_t(6))) == b"YWJjZGVm", "base64")
        expect(text(library.g_uri_escape_string(b"a b", None, 1)) == b"a%20b", "escaped text")
        expect(text(library.g_utf8_strup("äß".encode(), c_long(-1))) == "ÄSS".encode(), "upper case")
        variant = c_void_p(library.g_variant_parse(None, b"{'a': <(1, 'x')>, 'b': <[1.5, 2]>}", None, None, None))
        expect(text(library.g_variant_print(variant, 0)) == b"{'a': <(1, 'x')>, 'b': <[1.5, 2.0]>}", "variant")
        library.g_variant_unref(variant)
        time_ = c_void_p(library.g_date_time_new_utc(2024, 2, 29, 12, 0, 0.0))
        expect(text(library.g_date_time_format(time_, b"%j %F")) == b"060 2024-02-29", "date")
        library.g_date_time_unref(time_)
    return use


def libgio():
    library = load("libgio-2.0.so.0", g_file_new_for_path=c_void_p, g_file_get_uri=c_void_p, g_memory_input_stream_new_from_data=c_void_p,
                   g_data_input_stream_new=c_void_p, g_data_input_stream_read_line=c_void_p, g_inet_address_new_from_string=c_void_p,
                   g_inet_address_to_string=c_void_p)
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "file").encode()

    def use():
        file = c_void_p(library.g_file_new_for_path(path))
        expect(library.g_file_replace_contents(file, b"abc\ndef\n", c_size_t(8), None, 0, 0, None, None, None), "written file")
        data, size = c_void_p(), c_size_t()
        expect(library.g_file_load_contents(file, None, byref(data), byref(size), None, None) and
               ctypes.string_at(data, size.value) == b"abc\ndef\n", "file")
        library.g_free(data)
        library.g_object_unref(file)
        address = c_void_p(library.g_inet_address_new_from_string(b"::ffff:1.2.3.4"))
        expect(ctypes.string_at(library.g_inet_address_to_string(address)).endswith(b"1.2.3.4"), "address")
        library.g_object_unref(address)
        stream = c_void_p(library.g_memory_input_stream_new_from_data(b"one\ntwo\n", c_long(8), None))
        lines = c_void_p(library.g_data_input_stream_new(stream))
        expect(ctypes.string_at(library.g_data_input_stream_read_line(lines, None, None, None)) == b"one", "line")
        library.g_object_unref(lines)
        library.g_object_unref(stream)
    return use


def libgs():
    library = load("libgs.so.10")
    instance = c_void_p()
    expect(library.gsapi_new_instance(byref(instance), None) == 0, "gsapi_new_instance")
    library.gsapi_set_arg_encoding(instance, 1)
    folder = tempfile.mkdtemp()
    out = os.path.join(folder, "page.pgm")
    arguments = [b"gs", b"-q", b"-dNOPAUSE", b"-dBATCH", b"-dNODISPLAY", b"-dNOSAFER"]
    array = (c_char_p * len(arguments))(*arguments)
    expect(library.gsapi_init_with_args(instance, len(arguments), array) in (0, -101), "gsapi_init_with_args")

    def run(text):
        code = c_int()
        return library.gsapi_run_string(instance, text, 0, byref(code))

    def use():
        program = (f"(pgmraw) selectdevice << /OutputFile ({out}) /PageSize [100 100] /HWResolution [72 72] >> setpagedevice "
                   "10 10 50 50 rectfill showpage (nullpage) selectdevice\n").encode()
        expect(run(program) >= 0, "PostScript")
        with open(out, "rb") as file:
            file.seek(-100 * 100, os.SEEK_END)		# each page is put behind the last one
            expect(file.read().count(b"\0") == 50 * 50, "page")
    return use


def libass():
    library = load("libass.so.9", ass_library_init=c_void_p, ass_renderer_init=c_void_p, ass_read_memory=c_void_p, ass_render_frame=c_void_p)
    instance = c_void_p(library.ass_library_init())
    silent = ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p, c_void_p)(lambda *_: None)
    library.ass_set_message_cb(instance, silent, None)
    renderer = c_void_p(library.ass_renderer_init(instance))
    library.ass_set_frame_size(renderer, 320, 240)
    library.ass_set_fonts(renderer, None, b"sans", 0, None, 0)
    text = (b"[Script Info]\nScriptType: v4.00+\nPlayResX: 320\nPlayResY: 240\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
            b"Style: Default,sans,20\n[Events]\nFormat: Start, End, Style, Text\nDialogue: 0:00:00.00,0:00:09.00,Default,"
            b"{\\p1\\pos(10,10)}m 0 0 l 50 0 50 50 0 50{\\p0}\n")

    def use():
        expect(silent, "callback")	# the library calls it for as long as it lives
        data = create_string_buffer(text)
        track = c_void_p(library.ass_read_memory(instance, data, c_size_t(len(text)), None))
        change = c_int()
        library.ass_render_frame(renderer, track, ctypes.c_longlong(1000), byref(change))
        expect(struct.unpack("<4i", ctypes.string_at(track, 16))[2] == 1, "number of events")
        library.ass_free_track(track)
    return use


def libaom():
    library = load("libaom.so.3", aom_codec_av1_cx=c_void_p, aom_img_alloc=c_void_p, aom_codec_get_cx_data=c_void_p, aom_codec_av1_dx=c_void_p,
                   aom_codec_get_frame=c_void_p)
    interface, decoder = c_void_p(library.aom_codec_av1_cx()), c_void_p(library.aom_codec_av1_dx())

    def use():
        config = create_string_buffer(4096)
        expect(library.aom_codec_enc_config_default(interface, config, 1) == 0, "configuration")
        numbers = cast(config, POINTER(c_uint))
        numbers[3], numbers[4] = 64, 64		# g_w, g_h
        context = create_string_buffer(512)
        expect(library.aom_codec_enc_init_ver(context, interface, config, c_long(0), 25) == 0, "encoder")
        image = c_void_p(library.aom_img_alloc(None, 0x102, 64, 64, 16))
        packets = 0
        inner = create_string_buffer(512)
        expect(library.aom_codec_dec_init_ver(inner, decoder, None, c_long(0), 22) == 0, "decoder")
        for i in (0, 1, None):
            expect(library.aom_codec_encode(context, image if i is not None else None, ctypes.c_int64(i or 0), c_long(1), c_long(0)) == 0, "encoding")
            iterator = c_void_p()
            while True:
                packet = library.aom_codec_get_cx_data(context, byref(iterator))
                if not packet:
                    break
                kind, = struct.unpack("<i", ctypes.string_at(packet, 4))
                buffer, size = struct.unpack("<QQ", ctypes.string_at(packet + 8, 16))
                if kind == 0:
                    expect(library.aom_codec_decode(inner, c_void_p(buffer), c_size_t(size), None) == 0, "decoding")
                    packets += 1
        expect(packets == 2, f"{packets} packets")
        library.aom_img_free(image)
        library.aom_codec_destroy(context)
        library.aom_codec_destroy(inner)
    return use


def libmodbus():
    import socket
    import threading
    library = load("libmodbus.so.5", modbus_new_tcp=c_void_p, modbus_mapping_new=c_void_p)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = c_void_p(library.modbus_new_tcp(b"127.0.0.1", port))
    listener = library.modbus_tcp_listen(server, 1)
    expect(listener >= 0, "modbus_tcp_listen")
    mapping = c_void_p(library.modbus_mapping_new(10, 10, 10, 10))

    def serve():
        query = create_string_buffer(260)
        place = c_int(listener)
        library.modbus_tcp_accept(server, byref(place))
        while True:
            size = library.modbus_receive(server, query)
            if size > 0:
                library.modbus_reply(server, query, size, mapping)
    threading.Thread(target=serve, daemon=True).start()
    client = c_void_p(library.modbus_new_tcp(b"127.0.0.1", port))
    expect(library.modbus_connect(client) == 0, "modbus_connect")

    def use():
        values, back = (ctypes.c_uint16 * 3)(1, 22, 333), (ctypes.c_uint16 * 3)()
        expect(library.modbus_write_registers(client, 2, 3, values) == 3, "written registers")
        expect(library.modbus_read_registers(client, 2, 3, back) == 3 and list(back) == [1, 22, 333], "registers")
        expect(library.modbus_write_and_read_registers(client, 0, 3, values, 0, 3, back) == 3 and list(back) == [1, 22, 333], "registers")
    return use


def librabbitmq():
    library = load("librabbitmq.so.4", amqp_new_connection=c_void_p, amqp_tcp_socket_new=c_void_p, amqp_error_string2=c_char_p, amqp_constant_name=c_char_p)

    def use():
        connection = c_void_p(library.amqp_new_connection())
        expect(connection.value, "connection")
        socket = c_void_p(library.amqp_tcp_socket_new(connection))
        expect(library.amqp_socket_open(socket, b"127.0.0.1", 1) != 0, "refused connection")
        url = create_string_buffer(b"amqp://user:word@host:5673/virtual")
        info = (ctypes.c_uint64 * 8)()
        expect(library.amqp_parse_url(url, info) == 0 and info[4] & 0xffffffff == 5673, "URL")
        expect(library.amqp_constant_name(200) == b"AMQP_REPLY_SUCCESS", "name of a constant")
        library.amqp_destroy_connection(connection)
    return use


def libwolfssl():
    library = load("libwolfssl.so.35", wolfTLSv1_2_client_method=c_void_p, wolfTLSv1_2_server_method=c_void_p, wolfSSL_CTX_new=c_void_p,
                   wolfSSL_new=c_void_p)
    library.wolfSSL_Init()

    def use():
        context = c_void_p(library.wolfSSL_CTX_new(c_void_p(library.wolfTLSv1_2_client_method())))
        session = c_void_p(library.wolfSSL_new(context))
        expect(session.value, "session")
        out = create_string_buffer(32)
        expect(library.wc_Sha256Hash(b"abc", 3, out) == 0 and out.raw == hashlib.sha256(b"abc").digest(), "SHA-256")
        generator, key = create_string_buffer(4096), create_string_buffer(16384)
        expect(library.wc_InitRng(generator) == 0 and library.wc_ecc_init(key) == 0, "generator")
        expect(library.wc_ecc_make_key(generator, 32, key) == 0, "key")
        expect(library.wc_ecc_check_key(key) == 0, "checked key")
        library.wc_ecc_free(key)
        library.wc_FreeRng(generator)
        library.wolfSSL_free(session)
        library.wolfSSL_CTX_free(context)
    return use


def libsystemd():
    library = load("libsystemd.so.0")

    def use():
        first, second, text = create_string_buffer(16), create_string_buffer(16), create_string_buffer(33)
        library.sd_id128_randomize(first)
        identity = (ctypes.c_uint64 * 2).from_buffer_copy(first.raw)
        class Identity(Structure):
            _fields_ = [("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]
        library.sd_id128_to_string(Identity(*identity), text)
        expect(library.sd_id128_from_string(text, second) == 0 and second.raw == first.raw, "identity")
        bus, message = c_void_p(), c_void_p()
        expect(library.sd_bus_new(byref(bus)) == 0, "bus")
        library.sd_bus_unref(bus)
        event = c_void_p()
        expect(library.sd_event_new(byref(event)) == 0, "event loop")
        expect(library.sd_event_run(event, ctypes.c_uint64(0)) >= 0, "event loop")
        library.sd_event_unref(event)
        encoded = c_void_p()
        expect(library.sd_bus_path_encode(b"/a", b"b.c", byref(encoded)) == 0 and ctypes.string_at(encoded) == b"/a/b_2ec", "path")
        journal = c_void_p()
        if library.sd_journal_open_directory(byref(journal), b"/var/log", 0) == 0:
            library.sd_journal_close(journal)
    return use


def systemd_shared():
    library = load("libsystemd-shared-252.so")

    def use():
        out = ctypes.c_uint64()
        expect(library.parse_sec(b"1h 2min", byref(out)) == 0 and out.value == 3720 * 1000000, "time")
        normalized = c_void_p()
        expect(library.calendar_spec_from_string(b"Mon *-*-* 12:00", byref(normalized)) == 0, "calendar")
        text = c_void_p()
        expect(library.calendar_spec_to_string(normalized, byref(text)) == 0 and ctypes.string_at(text) == b"Mon *-*-* 12:00:00", "calendar")
        library.calendar_spec_free(normalized)
        value = c_void_p()
        expect(library.json_parse(b'{"a":[1,2,{"b":null}]}', 0, byref(value), None, None) == 0, "JSON")
        library.json_variant_unref(value)
    return use


def libstrongswan():
    library = load("libstrongswan.so.0", identification_create_from_string=c_void_p, host_create_from_string=c_void_p, enumerator_create_token=c_void_p)
    library.library_init(None, b"host")		# it misses its configuration file, and works

    def use():
        host = c_void_p(library.host_create_from_string(b"192.168.1.2", 500))
        expect(host.value, "host")
        identity = c_void_p(library.identification_create_from_string(b"C=CH, O=strongSwan, CN=a b"))
        expect(identity.value, "identity")
    return use


def libpcre2():
    library = load("libpcre2-8.so.0", pcre2_compile_8=c_void_p, pcre2_match_data_create_from_pattern_8=c_void_p)

    def use():
        number, offset = c_int(), c_size_t()
        pattern = c_void_p(library.pcre2_compile_8(b"(a|b)+(?<x>c{2,3})(?=d)", c_size_t(23), 0, byref(number), byref(offset), None))
        expect(pattern.value, "pattern")
        data = c_void_p(library.pcre2_match_data_create_from_pattern_8(pattern, None))
        expect(library.pcre2_match_8(pattern, b"xxababccd", c_size_t(9), c_size_t(0), 0, data, None) == 3, "match")
        library.pcre2_match_data_free_8(data)
        library.pcre2_code_free_8(pattern)
    return use


def libpq():
    library = load("libpq.so.5", PQconninfoParse=c_void_p, PQmakeEmptyPGresult=c_void_p, PQescapeByteaConn=c_void_p, PQescapeBytea=c_void_p,
                   PQunescapeBytea=c_void_p, PQencryptPassword=c_void_p)

    def use():
        options = c_void_p(library.PQconninfoParse(b"host=localhost port=5432 dbname='a b'", None))
        expect(options.value, "connection string")
        library.PQconninfoFree(options)
        size = c_size_t()
        text = c_void_p(library.PQescapeBytea(b"a\\'\x00b", c_size_t(5), byref(size)))
        back = c_void_p(library.PQunescapeBytea(text, byref(size)))
        expect(back.value and size.value > 4, "escaped bytes")
        library.PQfreemem(text)
        library.PQfreemem(back)
        out = create_string_buffer(32)
        library.PQescapeString(out, b"it's", c_size_t(4))
        expect(out.value == b"it''s", "escaped text")
        result = c_void_p(library.PQmakeEmptyPGresult(None, 0))
        expect(library.PQntuples(result) == 0, "result")
        library.PQclear(result)
    return use


def libgit2():
    library = load("libgit2.so.1.5")
    library.git_libgit2_init()
    folder = tempfile.mkdtemp().encode()
    repository = c_void_p()
    expect(library.git_repository_init(byref(repository), folder, 1) == 0, "repository")

    def use():
        identity = create_string_buffer(20)
        expect(library.git_blob_create_from_buffer(identity, repository, b"hello\n", c_size_t(6)) == 0, "blob")
        expect(identity.raw.hex() == "ce013625030ba8dba906f756967f9e9ca394464a", "name of the blob")
        blob = c_void_p()
        expect(library.git_blob_lookup(byref(blob), repository, identity) == 0, "blob again")
        library.git_blob_free(blob)
    return use


def libarchive():
    library = load("libarchive.so.13", archive_read_new=c_void_p, archive_entry_pathname=c_char_p)
    import tarfile
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:xz") as tar:
        for i in range(20):
            one = tarfile.TarInfo(f"file{i}")
            one.size = 3000
            tar.addfile(one, io.BytesIO(b"%03d" % i * 1000))
    data = file.getvalue()

    def use():
        archive = c_void_p(library.archive_read_new())
        library.archive_read_support_filter_all(archive)
        library.archive_read_support_format_all(archive)
        expect(library.archive_read_open_memory(archive, data, c_size_t(len(data))) == 0, "archive")
        entry, count = c_void_p(), 0
        while library.archive_read_next_header(archive, byref(entry)) == 0:
            expect(library.archive_entry_pathname(entry) == b"file%d" % count, "name")
            buffer = create_string_buffer(3000)
            expect(library.archive_read_data(archive, buffer, c_size_t(3000)) == 3000 and buffer.raw == b"%03d" % count * 1000, "content")
            count += 1
        expect(count == 20, "number of files")
        library.archive_read_free(archive)
    return use


def libevent():
    library = load("libevent-2.1.so.7", event_base_new=c_void_p, evbuffer_new=c_void_p, evhttp_uri_parse=c_void_p, evhttp_uri_get_host=c_char_p)

    def use():
        base = c_void_p(library.event_base_new())
        expect(library.event_base_loop(base, 2) == 1, "event loop")
        library.event_base_free(base)
        uri = c_void_p(library.evhttp_uri_parse(b"http://host:80/path?x"))
        expect(library.evhttp_uri_get_host(uri) == b"host", "URI")
        library.evhttp_uri_free(uri)
        buffer = c_void_p(library.evbuffer_new())
        library.evbuffer_add(buffer, b"abcd", c_size_t(4))
        expect(library.evbuffer_get_length(buffer) == 4, "buffer")
        library.evbuffer_free(buffer)
    return use


def libaprutil():
    load("libapr-1.so.0").apr_initialize()
    library = load("libaprutil-1.so.0")
    plain = b"{SHA}" + base64.b64encode(hashlib.sha1(b"right").digest())

    def use():
        made = create_string_buffer(128)
        expect(library.apr_md5_encode(b"right", b"saltsalt", made, c_size_t(128)) == 0, "apr_md5_encode")
        for known in (plain, made.value):
            expect(library.apr_password_validate(b"right", known) == 0, "the right password")
            expect(library.apr_password_validate(b"wrong", known) != 0, "a wrong password")
    return use


def libssh():
    library = load("libssh.so.4", ssh_new=c_void_p)
    library.ssh_init()

    def use():
        session = c_void_p(library.ssh_new())
        expect(library.ssh_options_set(session, 0, b"localhost") == 0, "option")
        key, text = c_void_p(), c_void_p()
        expect(library.ssh_pki_generate(4, 256, byref(key)) == 0, "key")
        expect(library.ssh_pki_export_privkey_base64(key, None, None, None, byref(text)) == 0, "text of the key")
        again = c_void_p()
        expect(library.ssh_pki_import_privkey_base64(text, None, None, None, byref(again)) == 0, "key again")
        library.ssh_key_free(key)
        library.ssh_key_free(again)
        library.ssh_string_free_char(text)
        library.ssh_free(session)
    return use


def libcrypto():
    import hashlib as by_openssl
    library = load("libcrypto.so.3", EVP_PKEY_Q_keygen=c_void_p)

    def use():
        expect(by_openssl.pbkdf2_hmac("sha256", b"a", b"salt", 100).hex().startswith("3a0e"[:0]), "PBKDF2")
        key = c_void_p(library.EVP_PKEY_Q_keygen(None, None, b"EC", b"P-256"))
        expect(key.value, "key")
        library.EVP_PKEY_free(key)
    return use


def libcurl():
    library = load("libcurl.so.4", curl_easy_init=c_void_p, curl_easy_escape=c_void_p, curl_url=c_void_p)
    library.curl_global_init(3)
    path = tempfile.mkstemp()[1]
    with open(path, "w") as file:
        file.write("content")

    def use():
        handle = c_void_p(library.curl_easy_init())
        text = c_void_p(library.curl_easy_escape(handle, b"a b", 3))
        expect(ctypes.string_at(text) == b"a%20b", "escaped text")
        library.curl_free(text)
        library.curl_easy_setopt(handle, 10002, f"file://{path}".encode())
        library.curl_easy_setopt(handle, 44, c_long(1))
        expect(library.curl_easy_perform(handle) == 0, "transfer")
        library.curl_easy_cleanup(handle)
    return use


def pdf(text):
    """A document of one page with the text, and a note beside it."""
    stream = b"BT /F1 24 Tf 72 700 Td (%s) Tj ET" % text
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
               b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> /Annots [6 0 R] >>",
               b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream), b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
               b"<< /Type /Annot /Subtype /FreeText /Rect [72 600 300 640] /Contents (beside) /DA (/Helv 12 Tf 0 g) >>"]
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1, table, len(objects) + 1, len(out))


def poppler():
    library = load("libpoppler-glib.so.8", poppler_document_new_from_data=c_void_p, poppler_document_get_page=c_void_p,
                   poppler_page_get_text=c_void_p, poppler_page_get_annot_mapping=c_void_p)
    glib = load("libglib-2.0.so.0", g_list_length=c_uint)
    objects = load("libgobject-2.0.so.0")
    number = 0

    def use():
        nonlocal number
        number += 1
        data = pdf(b"page of round %d" % number)
        document = c_void_p(library.poppler_document_new_from_data(data, c_int(len(data)), None, None))
        expect(document.value, "document")
        page = c_void_p(library.poppler_document_get_page(document, c_int(0)))
        expect(page.value, "page")
        text = c_void_p(library.poppler_page_get_text(page))
        expect(cast(text, c_char_p).value == b"page of round %d" % number, "text of a page")
        glib.g_free(text)
        notes = c_void_p(library.poppler_page_get_annot_mapping(page))
        expect(glib.g_list_length(notes) == 1, "notes of a page")
        library.poppler_page_free_annot_mapping(notes)
        objects.g_object_unref(page)
        objects.g_object_unref(document)
        broken = c_void_p(library.poppler_document_new_from_data(data[:200], c_int(200), None, None))
        expect(not broken.value, "a document that is cut short")
    return use


def dng(width, height):
    """A camera's raw picture: each pixel of the sensor sees one colour, and all see the same amount of light."""
    pixels = struct.pack("<H", 12000) * (width * height)
    tags = [(254, 4, [0]), (256, 4, [width]), (257, 4, [height]), (258, 3, [16]), (259, 3, [1]), (262, 3, [32803]), (271, 2, b"Make\0"),
            (272, 2, b"Model\0"), (273, 4, [0]), (277, 3, [1]), (278, 4, [height]), (279, 4, [len(pixels)]), (33421, 3, [2, 2]),
            (33422, 1, bytes([0, 1, 1, 2])), (50706, 1, bytes([1, 4, 0, 0])), (50708, 2, b"Make Model\0"),
            (50721, 10, [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]), (50728, 5, [1, 1, 1, 1, 1, 1]), (50778, 3, [21])]
    start = 8 + 2 + 12 * len(tags) + 4
    behind, entries, at = b"", b"", 0
    for tag, kind, value in tags:
        data = value if isinstance(value, bytes) else b"".join(struct.pack({3: "<H", 4: "<I", 5: "<I", 10: "<i"}[kind], x) for x in value)
        count = len(data) // {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 10: 8}[kind]
        if tag == 273:	# where the pixels are
            at = len(entries) + 8
        if len(data) > 4:
            place = struct.pack("<I", start + len(behind))
            behind += data + b"\0" * (len(data) % 2)
        else:
            place = data.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, count) + place
    entries = entries[:at] + struct.pack("<I", start + len(behind)) + entries[at + 4:]
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + behind + pixels


def libraw():
    library = load("libraw_r.so.20", libraw_init=c_void_p, libraw_dcraw_make_mem_image=c_void_p, libraw_strerror=c_char_p)
    data = dng(64, 48)

    def use():
        raw = c_void_p(library.libraw_init(0))
        expect(raw.value, "libraw_init")
        expect(library.libraw_open_buffer(raw, data, c_size_t(len(data))) == 0, "a raw picture")
        expect(library.libraw_unpack(raw) == 0, "its pixels")
        expect(library.libraw_dcraw_process(raw) == 0, "its colours")
        problem = c_int()
        picture = library.libraw_dcraw_make_mem_image(raw, byref(problem))
        expect(picture and problem.value == 0, "a picture")
        kind, height, width, colours, bits, size = struct.unpack("<iHHHHI", ctypes.string_at(picture, 16))
        expect((kind, height, width, colours, bits, size) == (2, 48, 64, 3, 8, 48 * 64 * 3), "size of the picture")
        pixels = ctypes.string_at(picture + 16, size)
        expect(pixels[3 * (20 * 64 + 30):][:3] == pixels[3 * (30 * 64 + 20):][:3], "one colour all over")
        library.libraw_dcraw_clear_mem(c_void_p(picture))
        expect(library.libraw_open_buffer(raw, data[:300], c_size_t(300)) == 0 and library.libraw_unpack(raw) != 0, "a picture that is cut short")
        library.libraw_close(raw)
    return use


def libdjvu():
    library = load("libdjvulibre.so.21", ddjvu_context_create=c_void_p, ddjvu_document_create_by_filename=c_void_p,
                   ddjvu_page_create_by_pageno=c_void_p, ddjvu_document_job=c_void_p, ddjvu_page_job=c_void_p, ddjvu_message_wait=c_void_p,
                   ddjvu_format_create=c_void_p)
    context = c_void_p(library.ddjvu_context_create(b"host"))
    information = b"INFO" + struct.pack(">I", 10) + struct.pack(">HHBB", 40, 30, 24, 0) + struct.pack("<HBB", 300, 22, 1)
    path = tempfile.mkstemp()[1]
    with open(path, "wb") as file:
        file.write(b"AT&TFORM" + struct.pack(">I", 4 + len(information)) + b"DJVU" + information)
    form = c_void_p(library.ddjvu_format_create(1, 0, None))
    library.ddjvu_format_set_row_order(form, 1)

    def finish(job):
        while library.ddjvu_job_status(job) < 2:
            library.ddjvu_message_wait(context)
            library.ddjvu_message_pop(context)
        return library.ddjvu_job_status(job) == 2

    def use():
        document = c_void_p(library.ddjvu_document_create_by_filename(context, path.encode(), 0))
        expect(finish(c_void_p(library.ddjvu_document_job(document))), "document")
        expect(library.ddjvu_document_get_pagenum(document) == 1, "number of pages")
        page = c_void_p(library.ddjvu_page_create_by_pageno(document, 0))
        job = c_void_p(library.ddjvu_page_job(page))
        expect(finish(job), "page")
        expect((library.ddjvu_page_get_width(page), library.ddjvu_page_get_height(page), library.ddjvu_page_get_resolution(page)) ==
               (40, 30, 300), "size of the page")
        area = (c_uint * 4)(0, 0, 40, 30)
        pixels = create_string_buffer(40 * 30 * 3)
        library.ddjvu_page_render(page, 0, area, area, form, c_size_t(120), pixels)
        library.ddjvu_job_release(job)
        library.ddjvu_job_release(c_void_p(library.ddjvu_document_job(document)))
    return use


def libgsasl():
    library = load("libgsasl.so.18")
    context = c_void_p()
    expect(library.gsasl_init(byref(context)) == 0, "gsasl_init")

    def use():
        session, answer = c_void_p(), c_void_p()
        expect(library.gsasl_client_start(context, b"PLAIN", byref(session)) == 0, "gsasl_client_start")
        library.gsasl_property_set(session, 1, b"user")		# GSASL_AUTHID
        library.gsasl_property_set(session, 3, b"secret")	# GSASL_PASSWORD
        expect(library.gsasl_step64(session, b"", byref(answer)) == 0, "gsasl_step64")
        expect(base64.b64decode(ctypes.string_at(answer)) == b"\0user\0secret", "what PLAIN says")
        library.gsasl_free(answer)
        library.gsasl_finish(session)
    return use


def libntfs():
    library = load("libntfs-3g.so.89")
    free = ctypes.CDLL(None).free

    def use():
        wide, narrow = c_void_p(), c_void_p()
        expect(library.ntfs_mbstoucs(b"System Volume Information", byref(wide)) == 25, "ntfs_mbstoucs")
        expect(ctypes.string_at(wide, 6) == b"S\0y\0s\0", "two bytes for each letter")
        expect(library.ntfs_ucstombs(wide, 25, byref(narrow), 0) == 25, "ntfs_ucstombs")
        expect(ctypes.string_at(narrow) == b"System Volume Information", "the name and back")
        free(wide)
        free(narrow)
    return use


def libcjose():
    library = load("libcjose.so.0")

    def use():
        data, text, size, back = os.urandom(48), c_void_p(), c_size_t(), c_void_p()
        expect(library.cjose_base64url_encode(data, c_size_t(48), byref(text), byref(size), None), "cjose_base64url_encode")
        expect(ctypes.string_at(text, size.value) == base64.urlsafe_b64encode(data), "what was encoded")
        expect(library.cjose_base64url_decode(text, size, byref(back), byref(size), None), "cjose_base64url_decode")
        expect(ctypes.string_at(back, size.value) == data, "what was decoded")
        library.cjose_get_dealloc.restype = ctypes.CFUNCTYPE(None, c_void_p)
        for memory in (text, back):
            library.cjose_get_dealloc()(memory)
    return use


def main():
    use = globals()[sys.argv[1].replace("-", "_")]()
    with open(sys.argv[2], "r+b", buffering=0) as counter:
        number = 0
        while True:
            use()
            number += 1
            os.pwrite(counter.fileno(), struct.pack("<Q", number), 0)
            time.sleep(0.002)


main()
